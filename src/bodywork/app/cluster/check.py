"""Whether a cluster has what a project's stages name: secrets with their keys, room for artifacts."""

from __future__ import annotations

import base64
import difflib
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bodywork.app.secret_users import secret_users
from bodywork.errors import ForbiddenError, NotFoundError
from bodywork.spec.model import Project
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import SECRET, Object
from bodywork.targets.kubernetes.manifests.route import takes_prefix_off
from bodywork.targets.kubernetes.manifests.variables import secret_name
from bodywork.targets.kubernetes.secrets.kept_secrets import changes
from bodywork.targets.kubernetes.services.routes import Routes
from bodywork.targets.kubernetes.settings import Settings

Users = Mapping[tuple[str, str], Sequence[str]]
"""The stages that name a key, by the secret and the key."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where secrets have to be; `target` is how the user named the cluster."""

    namespace: str
    target: str

    def command(self, secret: str, key: str, group: str | None) -> str:
        """What sets a key there."""
        words = [secret, key, *(["--group", group] if group else [])]
        there = ["--target", self.target, "--namespace", self.namespace]
        return shlex.join(["bodywork", "secret", "set", *words, *there])


async def missing_keys(api: Api, project: Project, place: Place, only: Collection[str] | None) -> list[str]:
    """See that the Secrets that stages name are there, with their keys, before anything runs.

    `on_failure` is one of the stages: its secret must not be missing when it counts. Returns
    sentences about what could not be looked at. Raises NotFoundError.
    """
    users = secret_users(project, only)
    names = {secret: secret_name(project, secret) for secret, _ in sorted(users)}
    try:
        found = {secret: await api.get(SECRET, name, place.namespace) for secret, name in names.items()}
    except ForbiddenError:
        listed = ", ".join(names.values())
        return [f"whether the secrets {listed} are there is not known: you may not read them"]
    missing = {key: stages for key, stages in users.items() if key[1] not in _keys(found[key[0]])}
    if missing:
        raise _missing(project, place, missing, found)
    return []


async def ages(
    api: Api, project: Project, namespace: str, asked: Collection[tuple[str, str]]
) -> dict[tuple[str, str], float]:
    """When keys were changed, as far as that can be seen, in seconds since the epoch."""
    found: dict[tuple[str, str], float] = {}
    try:
        for name in sorted({secret for secret, _ in asked}):
            there = await api.get(SECRET, secret_name(project, name), namespace)
            times = changes(there) if there else {}
            found |= {(secret, key): times[key] for secret, key in asked if secret == name and key in times}
    except ForbiddenError:  # what is kept from us cannot be compared
        return {}
    return found


async def value_of(api: Api, project: Project, namespace: str, secret: str, key: str) -> str:
    """The value of a key, as it is now. Raises NotFoundError, ForbiddenError."""
    name = secret_name(project, secret)
    found = await api.get(SECRET, name, namespace)
    if key not in _keys(found):
        raise NotFoundError(f"namespace {namespace} has no secret {name} with a key {key}")
    value: str = base64.b64decode((found or {})["data"][key]).decode(errors="replace")
    return value


async def unserved_routes(api: Api, project: Project, settings: Settings) -> list[str]:
    """What the routes of a project of today lack, without which it would fail for certain."""
    lacking = "" if takes_prefix_off(project) else await Routes(api=api, settings=settings).lacks(project)
    return [lacking] if lacking else []


async def unpublished(api: Api, project: Project, settings: Settings) -> list[str]:
    """That the services of an old project are not published, where the cluster cannot do it."""
    lacking = await Routes(api=api, settings=settings).lacks(project) if takes_prefix_off(project) else ""
    return [f"its services can be reached from within the cluster only: {lacking}"] if lacking else []


def _keys(secret: Object | None) -> set[str]:
    return set() if secret is None else set(secret.get("data") or {})


def _missing(
    project: Project, place: Place, missing: Users, found: Mapping[str, Object | None]
) -> NotFoundError:
    listed, commands = [], []
    for (name, key), stages in missing.items():
        has = sorted(_keys(found[name]))
        near = difflib.get_close_matches(key, has, n=1)
        instead = f": it has {near[0] if near else 'only ' + ', '.join(has)}" if has else ""
        listed.append(f"{secret_name(project, name)}/{key} (for {', '.join(stages)}){instead}")
        commands.append(place.command(name, key, project.secrets_group))
    where = f"in namespace {place.namespace}"
    return NotFoundError(
        f"secrets that stages of {project.name} name are not {where}: {', '.join(listed)}",
        hint="set each value, which is asked for: " + "; ".join(commands),
    )
