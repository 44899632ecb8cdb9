"""The credential with which pods fetch a project that is too big to be sent: a Secret that only the
fetching container sees.

    what `deploy` was given             the pipeline's own Secret, made anew each time
    nothing                             the pipeline's own Secret, if an earlier deploy has made it,
                                        else the Secret `bodywork-git`, if somebody has put it there
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from bodywork.errors import StageError, UsageError
from bodywork.git.location import parse
from bodywork.run.plan import Plan
from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import SECRET, Object
from bodywork.targets.kubernetes.manifests.job import with_run
from bodywork.targets.kubernetes.manifests.source import CONTENT

GIT = "git"
GIVEN = "bodywork-git"
"""The Secret in which somebody keeps a credential for all pipelines of a namespace: `ssh-privatekey`
and `known_hosts`, or `username` and `password`."""


@dataclass(frozen=True, kw_only=True)
class SshFiles:
    """What ssh needs to open one repository; `known_hosts` has the lines of its host."""

    key: bytes = field(repr=False)
    known_hosts: bytes


@dataclass(frozen=True, kw_only=True)
class Token:
    """What a host of https is shown."""

    user: str
    password: str = field(repr=False)


def own_name(project: Project) -> str:
    """The name of the pipeline's own Secret."""
    return with_run(project.object_name, GIT)


def credential_secret(plan: Plan, namespace: str, files: SshFiles | Token) -> Object:
    marks = {**labels.of_pipeline(plan.project), CONTENT: GIT}
    return credential_of(own_name(plan.project), namespace, marks, files)


def credential_of(name: str, namespace: str, marks: Mapping[str, str], files: SshFiles | Token) -> Object:
    """A Secret of that name; `marks` are its labels."""
    if isinstance(files, Token):
        data = {"username": files.user.encode(), "password": files.password.encode()}
    else:
        data = {"ssh-privatekey": files.key, "known_hosts": files.known_hosts}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(marks)},
        "type": "Opaque",
        "data": {name: base64.b64encode(content).decode() for name, content in data.items()},
    }


async def ensure(api: Api, plan: Plan, namespace: str, files: SshFiles | Token | None) -> str | None:
    """The Secret to fetch with; None: there is none, so the repository must be open to all.

    Raises UsageError when the Secret of that name is somebody else's, StageError when nothing opens
    a repository that is reached by ssh.
    """
    name = own_name(plan.project)
    there = await api.get(SECRET, name, namespace)
    if files is None:
        if there is not None and _ours(there, plan.project):
            return name
        given = await api.get(SECRET, GIVEN, namespace) is not None
        if not given and parse(plan.source.repository).scheme == "ssh":
            raise _no_key(plan, namespace)
        return GIVEN if given else None
    if there is not None and not _ours(there, plan.project):
        raise UsageError(
            f"Secret {name} in namespace {namespace} is somebody else's, and would have to hold what "
            f"opens the repository of {plan.pipeline} to its pods",
            hint=f"put it into a Secret {GIVEN} there, and leave out --ssh-key-file and --git-secret",
        )
    await api.apply(credential_secret(plan, namespace, files))
    return name


def _no_key(plan: Plan, namespace: str) -> StageError:
    return StageError(
        f"{plan.pipeline} is too big for a Secret, so its pods fetch it from {plan.source.repository}, "
        "and they have no key for that",
        hint="deploy with --ssh-key-file FILE or --git-secret NAME: a key without a passphrase that may "
        "read this repository; "
        f"or keep one in a Secret {GIVEN} of namespace {namespace} (ssh-privatekey, known_hosts)",
    )


def _ours(secret: Mapping[str, object], project: Project) -> bool:
    return labels.is_ours(secret, project.object_name)
