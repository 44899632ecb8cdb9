"""Containers that come before a stage's own, for what the fast path does without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bodywork.errors import UsageError
from bodywork.run.plan import Plan
from bodywork.spec.model import Stage
from bodywork.targets.kubernetes.settings import Settings

WORK = "/work"
PROJECT = f"{WORK}/project"
UV = f"{WORK}/bin/uv"
CREDENTIAL = "/credential"
PYTHON = "/opt/bodywork/bin/python3"
"""bodywork has a Python of its own in its images: that of stages is not burdened with it."""


@dataclass(frozen=True, kw_only=True)
class SecretMount:
    """All keys of a Secret as files below `path`, for one container only."""

    secret: str
    path: str


@dataclass(frozen=True, kw_only=True)
class InitContainer:
    """A container that runs to its end before the stage's starts; `/work` is shared with that one.

    `secrets` are Secrets whose keys all become variables; `memory` (bytes) is all it may use.
    """

    name: str
    image: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    mounts: tuple[SecretMount, ...] = ()
    memory: int = 2**30


def fetched(plan: Plan, settings: Settings, *, credential: str | None = None) -> InitContainer:
    """Fetches the commit of a project that is too big for a Secret, and unpacks it to /work/project.

    `credential` is a Secret with an ssh key (`ssh-privatekey`, `known_hosts`) or with `username`
    and `password`; only this container sees it. Raises UsageError for a repository that is on
    this machine only.
    """
    source = plan.source
    if source.repository.startswith(("/", "file://")):
        raise UsageError(
            f"{plan.pipeline} is too big for a Secret, "
            f"and a cluster cannot fetch it from {source.repository}",
            hint="push the commit and deploy the repository's URL, or take large files out of it",
        )
    wanted = {
        "repository": source.repository,
        "ref": source.ref,
        "commit": source.commit,
        "folder": source.folder,
        "into": PROJECT,
        "credential": CREDENTIAL if credential else None,
    }
    return InitContainer(
        name="fetch",
        image=settings.tool_image,
        command=(PYTHON, "-m", "bodywork.targets.kubernetes.pods.fetching"),
        variables={"BODYWORK_FETCH": json.dumps(wanted, sort_keys=True)},
        mounts=(SecretMount(secret=credential, path=CREDENTIAL),) if credential else (),
    )


def uv_for(stage: Stage, settings: Settings) -> InitContainer | None:
    """Puts uv at /work/bin/uv for a stage that runs in an image of its own, which need not have it."""
    if stage.image is None:
        return None
    folder = UV.rpartition("/")[0]
    copy = f"os.makedirs({folder!r}, exist_ok=True); shutil.copy(shutil.which('uv'), {UV!r})"
    return InitContainer(
        name="uv",
        image=settings.image_for(stage.python),
        command=("python3", "-c", f"import os, shutil; {copy}"),
        memory=2**28,
    )
