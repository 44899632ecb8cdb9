"""Whether a cluster has what a project's stages name: secrets with their keys, room for artifacts."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence

from bodywork.errors import ForbiddenError, NotFoundError
from bodywork.spec.model import Project, Stage
from bodywork.targets.kubernetes.api import Api
from bodywork.targets.kubernetes.kinds import SECRET, Object
from bodywork.targets.kubernetes.manifests.variables import secret_name

Users = Mapping[tuple[str, str], Sequence[str]]
"""The stages that name a key, by the Secret's name and the key."""


async def missing_keys(api: Api, project: Project, namespace: str, only: Collection[str] | None) -> list[str]:
    """See that the Secrets that stages name are there, with their keys, before anything runs.

    `on_failure` is one of the stages: its secret must not be missing when it counts. Returns
    sentences about what could not be looked at. Raises NotFoundError.
    """
    users = _users(project, only)
    names = sorted({name for name, _ in users})
    try:
        found = {name: await api.get(SECRET, name, namespace) for name in names}
    except ForbiddenError:
        return [f"whether the secrets {', '.join(names)} are there is not known: you may not read them"]
    missing = {key: stages for key, stages in users.items() if key[1] not in _keys(found[key[0]])}
    if missing:
        raise _missing(project, namespace, missing, found)
    return []


def not_in_clusters(project: Project) -> Iterator[str]:
    """A sentence for each setting that has no effect on a cluster."""
    if project.schedule is not None:
        yield f"schedule {project.schedule.cron} is not acted on yet: this is one run"


def _users(project: Project, only: Collection[str] | None) -> dict[tuple[str, str], list[str]]:
    stages: list[Stage] = [stage for stage in project.stages if only is None or stage.name in only]
    stages += [project.on_failure] if project.on_failure else []
    users: dict[tuple[str, str], list[str]] = {}
    for stage in stages:
        for named in stage.secrets:
            key = (secret_name(project, named.secret), named.variable)
            users.setdefault(key, []).append(stage.name)
    return users


def _keys(secret: Object | None) -> set[str]:
    return set() if secret is None else set(secret.get("data") or {})


def _missing(
    project: Project, namespace: str, missing: Users, found: Mapping[str, Object | None]
) -> NotFoundError:
    listed, commands = [], []
    for (name, key), stages in missing.items():
        has = sorted(_keys(found[name]))
        near = difflib.get_close_matches(key, has, n=1)
        instead = f": it has {near[0] if near else 'only ' + ', '.join(has)}" if has else ""
        listed.append(f"{name}/{key} (for {', '.join(stages)}){instead}")
        commands.append(f"kubectl -n {namespace} create secret generic {name} --from-file={key}=/dev/stdin")
    return NotFoundError(
        f"secrets that stages of {project.name} name are not in namespace {namespace}: {', '.join(listed)}",
        hint="make each; its value is read from stdin: " + "; ".join(commands),
    )
