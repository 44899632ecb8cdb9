"""The seam between the engine and the places where stages run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bodywork.run.plan import ObservedService, Plan, PlannedStage


@dataclass(frozen=True, kw_only=True)
class Handle:
    """A started attempt of a stage; `key` is enough to find it again from another process."""

    stage: str
    attempt: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Began:
    """The module itself runs: time limits count from here. A service says so of each of its new replicas."""

    key: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The module does not run yet, or not any more, and this is no failure of the attempt.

    `reason` is a sentence: no node has room, an image is being pulled, a node was lost. Empty: what
    it waited for is there. `Began` comes (again) when the module runs; its time limit counts anew.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class Exited:
    """The module or the rollout has ended, and something of it is still to be kept: no time limit counts."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """Whole lines that the stage printed, the last one ended by a newline."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A batch stage has ended, or a service has become ready (`ok`) or has given up.

    `reason` is a sentence, empty when all is well. `outputs` maps declared outputs to digests.
    `retry` is false where another attempt cannot end otherwise (an output that is not declared).
    """

    ok: bool
    reason: str = ""
    exit_code: int | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    retry: bool = True


Sign = Began | Waiting | Printed | Exited | Ended


class Target(Protocol):
    """A place where stages run. One object serves one run, or none when only asked what is there.

    All methods raise `StageError` for what is wrong with a stage and `UnreachableError` when the
    target itself does not answer.
    """

    @property
    def name(self) -> str: ...

    async def observe(self, pipeline: str) -> Mapping[str, ObservedService]:
        """The services of a pipeline, by stage name."""
        ...

    async def prepare(self, plan: Plan, planned: PlannedStage) -> None:
        """Make the environment and working copy; may happen long before `start`; idempotent."""
        ...

    async def start(
        self,
        plan: Plan,
        planned: PlannedStage,
        *,
        attempt: int,
        inputs: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> Handle:
        """Start an attempt of a batch stage, or the rollout of a service.

        `inputs` are digests by input name, `variables` are added to the environment (what an
        `on_failure` stage is told). When it is cancelled, nothing of the attempt may be left. What
        `regain` has kept is taken over instead, under the number that it has.
        """
        ...

    def watch(self, handle: Handle) -> AsyncIterator[Sign]:
        """What the attempt does, from `Began` to `Ended`, which comes exactly once and last."""
        ...

    async def stop(self, handle: Handle) -> None:
        """End an attempt and all its processes: TERM, 10 s, KILL; undo a half-done rollout.

        Returns when it has ended. `watch` then yields its `Ended`; for a rollout its reason is
        what kept the service from being ready, as a clause.
        """
        ...

    async def clean(self, plan: Plan, handles: Mapping[str, str]) -> None:
        """End what an interrupted command has left: `handles` are `Handle.key`s by stage name."""
        ...

    async def regain(self, plan: Plan, handles: Mapping[str, str], *, ended: bool) -> None:
        """Make a resumed run ready to go on: called before anything is recorded, prepared or started.

        What an interrupted command has left is ended, or kept so that `start` can take it over: a
        stage that still runs or has succeeded while nobody watched is not run twice. `handles` are
        those of attempts whose end was not seen, by stage name. `ended`: the run had come to its end,
        so what is left of `on_failure` is of an earlier failure than one that may come.
        """
        ...

    async def remove(self, pipeline: str, services: frozenset[str]) -> None:
        """Stop and forget services. Those that are not there are passed over."""
        ...

    async def close(self, plan: Plan) -> None:
        """The run is over: give back working copies and connections. Services stay."""
        ...
