"""The state of a run, folded out of its events one by one.

The engine, `status`, `resume` and the progress display all see a run through this view, so that
what is shown, what is recorded and what is acted on cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bodywork.run.events import (
    Event,
    RunEnded,
    RunStarted,
    ServiceRemoved,
    StageEnded,
    StagePrepared,
    StagePreparing,
    StageRetrying,
    StageStarted,
    StageWaiting,
)
from bodywork.run.states import STAGE_MOVES, RunState, StageState


@dataclass
class StageView:
    """Where a stage stands. Times are seconds since the epoch, memory is in bytes.

    `started` is the start of the first attempt, `attempt` counts from 1 (0: not started). `handle`
    is the one of the attempt that runs, "" when none does. `prepared` is true once it can start;
    `preparing_since` is set while it is being prepared.
    """

    name: str
    state: StageState = StageState.PENDING
    reason: str = ""
    preparing_since: float | None = None
    prepared: bool = False
    started: float | None = None
    ended: float | None = None
    attempt: int = 0
    handle: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    exit_code: int | None = None
    peak_memory: int | None = None
    cpu_seconds: float | None = None


class RunView:
    """Where a run stands. `stages` are in the order of the names given.

    `on_failure` names the stage, if there is one, that may run again with each failure.
    """

    def __init__(self, names: Iterable[str], on_failure: str | None = None) -> None:
        self.state = RunState.RUNNING
        self.reason = ""
        self.started: float | None = None
        self.ended: float | None = None
        self.stages = {name: StageView(name) for name in names}
        self.removed: list[str] = []
        self._on_failure = on_failure

    def replay(self, events: Iterable[Event]) -> RunView:
        """`apply` each of the events; gives back the view itself."""
        for event in events:
            self.apply(event)
        return self

    def apply(self, event: Event) -> None:
        """Take in the next event.

        Raises ValueError for a move that `states.STAGE_MOVES` does not have, KeyError for a stage
        that the run does not have.
        """
        match event:
            case RunStarted():
                self._begin(event)
            case RunEnded():
                self.state, self.reason, self.ended = event.state, event.reason, event.at
            case ServiceRemoved():
                self.removed.append(event.stage)
            case StagePreparing():
                self._move(event.stage, StageState.PREPARING).preparing_since = event.at
            case StagePrepared():
                stage = self._move(event.stage, StageState.PENDING)
                stage.prepared, stage.preparing_since = True, None
            case StageStarted():
                self._start(event)
            case StageWaiting():
                self.stages[event.stage].reason = event.reason
            case StageRetrying():
                stage = self.stages[event.stage]
                stage.reason, stage.handle = event.reason, ""
            case StageEnded():
                self._end(event)

    def unfinished(self) -> dict[str, str]:
        """Handles of attempts whose end was not seen, by stage."""
        return {name: stage.handle for name, stage in self.stages.items() if stage.handle}

    def _begin(self, event: RunStarted) -> None:
        """A resumed run keeps what has ended well and does the rest anew.

        A run that had failed may fail again, and then `on_failure` has something new to tell;
        one that was interrupted is still the same failure.
        """
        had_ended = self.state.ended
        self.state, self.reason, self.ended = RunState.RUNNING, "", None
        self.started = event.at if self.started is None else self.started
        for name, stage in self.stages.items():
            if not stage.state.good or (had_ended and name == self._on_failure):
                self.stages[name] = StageView(name)

    def _start(self, event: StageStarted) -> None:
        stage = self._move(event.stage, StageState.RUNNING)
        stage.attempt, stage.handle, stage.reason = event.attempt, event.handle, ""
        stage.preparing_since = None
        if stage.started is None:
            stage.started = event.at

    def _end(self, event: StageEnded) -> None:
        stage = self._move(event.stage, event.state)
        stage.reason, stage.ended, stage.handle = event.reason, event.at, ""
        stage.outputs, stage.exit_code = event.outputs, event.exit_code
        stage.peak_memory, stage.cpu_seconds = event.peak_memory, event.cpu_seconds
        stage.preparing_since = None

    def _move(self, name: str, to: StageState) -> StageView:
        stage = self.stages[name]
        if to not in STAGE_MOVES[stage.state]:
            raise ValueError(f"stage {name} cannot go from {stage.state} to {to}")
        stage.state = to
        return stage
