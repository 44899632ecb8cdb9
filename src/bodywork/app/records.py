"""The seam to where runs are written down: this machine's history, or the cluster that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bodywork.run.events import Event

if TYPE_CHECKING:
    from bodywork.history import History
    from bodywork.run.ledger import Release, RunRecord
    from bodywork.run.plan import Plan


class Records(Protocol):
    """The runs of one target: their plans, events and releases.

    What a method has written is there when it returns. All raise UnreachableError where the record is
    kept elsewhere and that does not answer.
    """

    async def begin(self, record: RunRecord, plan: Plan) -> None:
        """Write down a new run. Raises UsageError when there is one of that id."""
        ...

    async def add(self, run: str, event: Event, *, release: Release | None = None) -> None:
        """Add an event to a run, and with it the release that it makes; the run's state follows."""
        ...

    async def note(self, run: str, event: Event) -> None:
        """Add an event upon which nothing is done: it is there at the latest when the next `add` returns."""
        ...

    async def events(self, run: str) -> list[Event]:
        """The events of a run, in their order; `run` is the full id."""
        ...

    async def plan(self, run: str) -> Plan:
        """The plan of a run, given by its full id. Raises NotFoundError."""
        ...

    async def run(self, run: str) -> RunRecord:
        """A run by its id or the beginning of it. Raises NotFoundError: none, or more than one."""
        ...

    async def runs(self, pipeline: str | None = None, *, limit: int | None = None) -> list[RunRecord]:
        """Runs, of one pipeline or of all, newest first."""
        ...

    async def pipelines(self) -> list[str]:
        """The names of all pipelines that have run, sorted."""
        ...

    async def releases(self, pipeline: str) -> list[Release]:
        """The releases of a pipeline, newest first."""
        ...

    async def forget(self, pipeline: str) -> None:
        """Delete the runs of a pipeline, their events and its releases."""
        ...


class LocalRecords:
    """The runs of target `target` in this machine's history."""

    def __init__(self, history: History, target: str) -> None:
        self._history = history
        self._target = target

    async def begin(self, record: RunRecord, plan: Plan) -> None:
        self._history.begin(record, plan)

    async def add(self, run: str, event: Event, *, release: Release | None = None) -> None:
        self._history.record(run, event, release=release)

    async def note(self, run: str, event: Event) -> None:
        self._history.record(run, event)

    async def events(self, run: str) -> list[Event]:
        return self._history.events(run)

    async def plan(self, run: str) -> Plan:
        return self._history.plan(run)

    async def run(self, run: str) -> RunRecord:
        return self._history.run(run)

    async def runs(self, pipeline: str | None = None, *, limit: int | None = None) -> list[RunRecord]:
        return self._history.runs(pipeline, limit=limit)

    async def pipelines(self) -> list[str]:
        return self._history.pipelines()

    async def releases(self, pipeline: str) -> list[Release]:
        return self._history.releases(pipeline, self._target)

    async def forget(self, pipeline: str) -> None:
        self._history.delete_pipeline(pipeline, self._target)
