"""A target together with where its runs are recorded, who may run there, and what stages printed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bodywork.app.records import Records
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import ObservedService, Plan
from bodywork.spec.model import Project, Stage
from bodywork.targets.base import Target

if TYPE_CHECKING:
    from asyncio import Event


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The run in progress of a pipeline, or its back-fill. `who` says in words where it is carried out."""

    run: str
    who: str

    def carries(self, run: str) -> bool:
        """Whether that run is in progress: it is the one that holds, or a day of the back-fill that does."""
        return run == self.run or run.startswith(f"{self.run}-")


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Whole lines of a stage's output; `source` is the stage, with the replica of a service."""

    source: str
    text: str


class Site(Protocol):
    """What use cases need of a target; an async context manager that gives back connections."""

    @property
    def name(self) -> str:
        """The target's name, as it was asked for."""
        ...

    @property
    def records(self) -> Records: ...

    async def __aenter__(self) -> Site: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def check(self, project: Project, only: Collection[str] | None = None) -> Sequence[str]:
        """Sentences about what of a project has no effect there, or is not as it should be.

        `only` names the stages of the workflow that will run (None: all). Raises UsageError for what
        would fail for certain: a secret that is not there.
        """
        ...

    async def outdated(self, project: Project, observed: Mapping[str, ObservedService]) -> Mapping[str, str]:
        """The services of which a secret was changed since they were rolled out, and which one."""
        ...

    async def secret(self, project: Project, name: str, key: str) -> str:
        """The value of a project's secret, as it is now. Raises NotFoundError, and UsageError."""
        ...

    async def files(self, plan: Plan) -> Path | None:
        """The files of an earlier run's commit; None where the target has kept them itself."""
        ...

    async def platform(self) -> str | None:
        """For which platform packages are locked, as uv names it; None: this machine's."""
        ...

    async def review(self, plan: Plan, *, before_run: bool = False) -> Sequence[str]:
        """Sentences about what a plan needs and the target lacks; changes nothing.

        `before_run`: it is about to be carried out, so what it writes to may be tried. Raises
        UnreachableError for a store that is away.
        """
        ...

    async def target(
        self, pipeline: str, *, tree: Path | None = None, pass_env: frozenset[str] = frozenset()
    ) -> Target:
        """The target; `tree` holds the files of the commit that it will run (None: only to look)."""
        ...

    def hold(
        self, pipeline: str, run: str, *, wait: bool = False, cancel: Event | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Be the one run in progress of a pipeline; raises BusyError that names the other one.

        With `wait`, waits for the run in progress to end. `cancel` is set when another command
        asks the run to stop.
        """
        ...

    def check_options(self, *, detach: bool, pass_env: Collection[str]) -> None:
        """Raises UsageError where a run cannot be left to the target itself, or stages cannot see
        variables of this machine.
        """
        ...

    async def detach(self, plan: Plan) -> None:
        """Leave a recorded run to the target itself."""
        ...

    async def holder(self, pipeline: str) -> Holder | None:
        """The run in progress; None when there is none."""
        ...

    async def held_up(self, pipeline: str, run: str) -> str:
        """Why a run that has not ended does not go on now, as a sentence; "": nothing is known of that."""
        ...

    async def ask_to_stop(self, pipeline: str) -> None:
        """Have the run in progress cancelled, and wait for its end.

        Raises UnreachableError when it does not end.
        """
        ...

    def logs(
        self, record: RunRecord, plan: Plan, stages: Sequence[Stage], *, follow: bool
    ) -> AsyncGenerator[Chunk, None]:
        """What stages of a run have printed; with `follow`, goes on as long as there may be more."""
        ...

    async def fetch(self, plan: Plan, digest: str, into: Path) -> None:
        """Bring an artifact of a run to `into`, which is not there yet. Raises what stores raise."""
        ...

    async def sizes(self, plan: Plan, digests: Collection[str]) -> Mapping[str, int | None]:
        """Of those artifacts of a run of which that can be told, in bytes; None: it is gone."""
        ...

    async def sweep(self, record: RunRecord) -> None:
        """Remove what a run that has ended may have left, if its command was killed at the very end."""
        ...

    async def erase(self, pipeline: str, records: Sequence[RunRecord]) -> None:
        """Remove all that the runs of a pipeline have left; its services are gone already."""
        ...
