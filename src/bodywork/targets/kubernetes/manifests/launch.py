"""What the runtime in a stage's pod is told: one JSON document in BODYWORK_LAUNCH.

The other side is `bodywork/stage/launch.py`, which stands apart: the two share only this form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from bodywork.artifacts.pieces import Signed
from bodywork.environment import Lock
from bodywork.environment.wheels import VARIABLE
from bodywork.run.plan import Plan, PlannedStage
from bodywork.spec.model import Input, Kind
from bodywork.targets.kubernetes.manifests.containers import PROJECT
from bodywork.targets.kubernetes.settings import Settings

FOLDER = "/bodywork"
CACHE = "/cache"
ARCHIVE = "project.tar.gz"
WHEELS = ".bodywork/wheels"
"""Where in the project packages are that are made of it."""


@dataclass(frozen=True, kw_only=True)
class LaunchLock:
    """Where the stage's lock is and how it is to be installed.

    `build_as_of` is RFC 3339; `wheels` is the folder of packages that are files of the project.
    """

    file: str
    digest: str
    form: str
    hashed: bool
    build_as_of: str | None
    undated: tuple[str, ...]
    empty: bool
    wheels: str | None

    @classmethod
    def of(cls, lock: Lock) -> LaunchLock:
        return cls(
            file=f"{FOLDER}/{lock_key(lock)}",
            digest=lock.digest,
            form=lock.form,
            hashed=lock.hashed,
            build_as_of=lock.build_as_of.isoformat() if lock.build_as_of else None,
            undated=lock.undated,
            empty=_is_empty(lock),
            wheels=f"{PROJECT}/{WHEELS}" if needs_wheels(lock) else None,
        )


@dataclass(frozen=True, kw_only=True)
class LaunchOutput:
    """A file that the stage makes, and where it goes by PUT."""

    name: str
    file: str
    to: Signed


@dataclass(frozen=True, kw_only=True)
class LaunchInput:
    """A file that the stage reads, and whence; None: it is at /work/inputs/NAME/FILE already."""

    name: str
    file: str
    digest: str
    origin: Signed | None


@dataclass(frozen=True, kw_only=True)
class Launch:
    """All that one attempt of a stage needs to start. Times are in seconds.

    `given` are the variables of bodywork.yaml, `hosts` the names of the project's services.
    """

    stage: str
    source: str | None
    project: str
    run: str
    args: tuple[str, ...]
    python: str
    lock: LaunchLock
    cache: str
    outputs: tuple[LaunchOutput, ...]
    inputs: tuple[LaunchInput, ...]
    timeout: float | None
    prepare_timeout: float
    drain: float
    secrets: tuple[str, ...]
    port: int | None
    given: tuple[str, ...]
    hosts: tuple[str, ...]

    def encode(self) -> str:
        """JSON with sorted keys: equal launches have equal texts."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def of(
        cls,
        plan: Plan,
        planned: PlannedStage,
        lock: Lock,
        settings: Settings,
        *,
        digests: Mapping[str, str],
        uploads: Mapping[str, Signed],
        downloads: Mapping[str, Signed],
        whole: bool = True,
    ) -> Launch:
        """`digests` and `downloads` are by input name, `uploads` by output name.

        An input without a download is placed by an init container; so is the project, unless the
        run's Secret has the `whole` of it. Raises KeyError for an output without an upload.
        """
        stage = planned.stage
        service = stage.service if stage.kind is Kind.SERVICE else None
        return cls(
            stage=stage.name,
            source=f"{FOLDER}/{ARCHIVE}" if whole else None,
            project=PROJECT,
            run=stage.run,
            args=stage.args,
            python=stage.python,
            lock=LaunchLock.of(lock),
            cache=CACHE,
            outputs=tuple(
                LaunchOutput(name=one.name, file=one.file, to=uploads[one.name]) for one in stage.outputs
            ),
            inputs=tuple(
                LaunchInput(
                    name=one.name,
                    file=input_file(plan, one),
                    digest=digests[one.name],
                    origin=downloads.get(one.name),
                )
                for one in stage.inputs
            ),
            timeout=None if service else stage.batch.timeout,
            prepare_timeout=settings.prepare_timeout,
            drain=settings.drain if service else 0.0,
            secrets=tuple(secret.variable for secret in stage.secrets),
            port=service.port if service else None,
            given=tuple(sorted({*stage.env, *(secret.variable for secret in stage.secrets)})),
            hosts=tuple(sorted({name for other in plan.project.stages for name in other.host_names})),
        )


def needs_wheels(lock: Lock) -> bool:
    """Whether packages of the lock are files of the project, which locks name by a variable."""
    return f"${{{VARIABLE}}}" in lock.text


def lock_key(lock: Lock) -> str:
    """The name of a lock among the files of a run."""
    return lock_file(lock.digest)


def lock_file(digest: str) -> str:
    return f"lock-{digest[:16]}.gz"


def input_file(plan: Plan, wanted: Input) -> str:
    """An input keeps the file name of the output that it is, for its suffix."""
    makers = [stage for stage in plan.project.stages if stage.name == wanted.stage]
    files = [one.file for maker in makers for one in maker.outputs if one.name == wanted.output]
    return PurePosixPath(files[0]).name if files else wanted.output


def _is_empty(lock: Lock) -> bool:
    if lock.form == "pylock":
        return "[[packages]]" not in lock.text
    lines = (line.strip() for line in lock.text.splitlines())
    return not any(line and not line.startswith(("#", "-")) for line in lines)
