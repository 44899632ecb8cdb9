"""What a run would do, decided before anything is done: spec + commit + what is there -> Plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bodywork.spec.model import Project, Stage


class Action(StrEnum):
    """What a run does with a stage.

    run: start a batch stage. add: a service that is not there yet. replace: roll a service out
    anew. decide: a service whose inputs are made by this run; it is replaced if they changed.
    keep: leave a service alone.
    """

    RUN = "run"
    ADD = "add"
    REPLACE = "replace"
    DECIDE = "decide"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which files a run works on.

    `repository` is what the user named, without credentials; `commit` has 40 hexadecimal digits;
    `file` is the path of bodywork.yaml in the repository; `folder` is its folder there ("" for
    the root); `files` is a digest of all files of that folder but bodywork.yaml itself.
    """

    repository: str
    ref: str
    commit: str
    file: str
    folder: str
    files: str


@dataclass(frozen=True, kw_only=True)
class ObservedService:
    """A service as the target has it now.

    `fingerprint` and `parts` are those it was planned with; `inputs` are the digests of what it
    reads, by input name; `release` is the run that rolled it out; `url` answers from this machine.
    """

    name: str
    fingerprint: str
    inputs: Mapping[str, str]
    release: str
    url: str
    ready: int
    replicas: int
    commit: str = ""
    reason: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage, what will be done with it and why.

    `environment` is the digest of the stage's lock. `fingerprint` (of files, packages and
    settings) tells whether a service is the one that already runs; the digests of its inputs
    come on top when they are known. `parts` are the digests that it is made of (files, packages,
    settings), so that a later plan can say what changed. `inputs` holds digests known before the
    run (`--only`, rollback), keyed by input name.
    """

    stage: Stage
    action: Action
    reason: str
    environment: str
    fingerprint: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A service that will be removed once the run has succeeded, and why."""

    service: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of a run, in the order of the workflow; plain data that can be shown, stored and replayed."""

    run: str
    target: str
    project: Project
    source: Source
    stages: tuple[PlannedStage, ...]
    on_failure: PlannedStage | None = None
    removals: tuple[Removal, ...] = ()

    @property
    def pipeline(self) -> str:
        return self.project.name

    @property
    def all_stages(self) -> tuple[PlannedStage, ...]:
        """The stages of the workflow and, last, the one of `on_failure`."""
        return self.stages if self.on_failure is None else (*self.stages, self.on_failure)

    def stage(self, name: str) -> PlannedStage:
        """The planned stage called `name`, `on_failure` included. Raises KeyError."""
        for planned in self.all_stages:
            if planned.stage.name == name:
                return planned
        raise KeyError(name)
