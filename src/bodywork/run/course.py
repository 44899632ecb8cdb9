"""The course of one stage, from its preparation to its end: retries and time limits.

    prepare ─────────────────────────┐
    begin ── (observe a service) ── settled ── launch ── running ── over ── end
                      └── unchanged: end         └─── pause, retry ──┘

Methods are called by the engine's loop only; none of them waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from bodywork.errors import StageError
from bodywork.run import events, reasons
from bodywork.run.attempt import Attempt, Stop, sentence
from bodywork.run.clock import Clock
from bodywork.run.errands import Errands
from bodywork.run.events import Event
from bodywork.run.plan import Action, ObservedService, Plan, PlannedStage, decided_at_last
from bodywork.run.replay import RunView
from bodywork.run.reports import (
    Expired,
    Finished,
    Held,
    Observed,
    Output,
    Over,
    Prepared,
    Reports,
    RetryDue,
    Running,
    StageReport,
)
from bodywork.run.states import StageState
from bodywork.spec.model import Batch, Kind
from bodywork.targets.base import Ended, Target

LONGEST_PAUSE = 60.0
"""Seconds between two attempts, at most, before jitter."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all stages of an execution share. `say` takes in an event, `ended` is told of each end."""

    plan: Plan
    target: Target
    clock: Clock
    jitter: Callable[[], float]
    view: RunView
    reports: Reports
    errands: Errands
    say: Callable[[Event], None]
    ended: Callable[[Course, StageState, str], None]


class Course:
    """One stage of one execution. `due` is true once its turn has come."""

    def __init__(self, planned: PlannedStage, setting: Setting) -> None:
        self.planned = planned
        self.name = planned.stage.name
        self.due = False
        self._setting = setting
        self._view = setting.view.stages[self.name]
        self._variables: Mapping[str, str] = {}
        self._settled = False
        self._halted = False
        self._why = ""
        self._attempts = 0
        self._attempt: Attempt | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    @property
    def state(self) -> StageState:
        return self._view.state

    # What the engine asks for

    def prepare(self) -> None:
        self._setting.say(events.StagePreparing(at=self._now, stage=self.name))
        self._preparing = self._setting.errands.prepare(self.planned)

    def begin(self, variables: Mapping[str, str]) -> None:
        """Its turn has come; `variables` are added to its environment."""
        self.due, self._variables = True, variables
        if self.planned.action in (Action.DECIDE, Action.KEEP):
            self._waiting = self._setting.errands.observe(self.name)
        else:
            self._settle(self.planned.reason)

    def halt(self, reason: str) -> None:
        """Stop it; if nothing of it runs, it ends at once."""
        if self._attempt is not None:
            self.stop(reason)
        else:
            self.end(StageState.CANCELLED if self._attempts else StageState.SKIPPED, reason)

    def stop(self, reason: str) -> None:
        """Stop the attempt that runs, if one does."""
        if self._attempt is not None:
            self._halted, self._why = True, reason
            self._setting.errands.deed(partial(self._attempt.stop, Stop.HALTED))

    def end(self, state: StageState, reason: str, how: Ended | None = None) -> None:
        self._drop_tasks()
        how = how or Ended(ok=state.good)
        self._setting.say(
            events.StageEnded(
                at=self._now,
                stage=self.name,
                state=state,
                reason=reason,
                exit_code=how.exit_code,
                outputs=how.outputs if state.good else {},
                peak_memory=how.peak_memory,
                cpu_seconds=how.cpu_seconds,
            )
        )
        self._setting.ended(self, state, reason)

    # What the engine hears

    def hear(self, report: StageReport) -> None:
        if self.state.ended:
            return  # too late: it was skipped or cancelled in the meantime
        match report:
            case Output(text=text):
                self._setting.say(events.StageOutput(at=self._now, stage=self.name, text=text))
            case Prepared(problem=problem):
                self._prepared(problem)
            case Observed(service=service):
                self._observed(service)
            case Running(key=key):
                self._running(key)
            case Held(reason=reason):
                self._held(reason)
            case Finished():
                self._drop_tasks()
            case Expired(attempt=number):
                self._expired(number)
            case RetryDue():
                self._launch()
            case Over(ended=how):
                self._over(how)

    def _prepared(self, problem: str) -> None:
        self._preparing = None
        if problem:
            self.end(StageState.FAILED, problem)
            return
        self._setting.say(events.StagePrepared(at=self._now, stage=self.name))
        if self._settled:
            self._launch()

    def _observed(self, service: ObservedService | None) -> None:
        self._waiting = None
        try:
            inputs = self._inputs()
        except StageError as error:
            self.end(StageState.FAILED, sentence(error))
            return
        action, why = decided_at_last(self.planned, service, inputs)
        if action is Action.KEEP:
            self.end(StageState.UNCHANGED, why)
        else:
            self._settle(why)

    def _running(self, key: str) -> None:
        """The module runs: its time limit counts from now, for each replica that is started after another."""
        attempt = self._attempt
        if attempt is None or (attempt.began and attempt.stopped):
            return
        if not attempt.began:
            attempt.began = attempt.seen = True
            self._setting.say(
                events.StageStarted(at=self._now, stage=self.name, attempt=attempt.number, handle=key)
            )
        does = self.planned.stage.does
        limit = does.timeout if isinstance(does, Batch) else does.startup_timeout
        if limit is not None:
            self._drop_tasks()
            self._waiting = self._setting.errands.limit(self.name, attempt.number, limit)

    def _held(self, reason: str) -> None:
        """It does not run (any more): should it have begun, its time limit counts anew when it does."""
        attempt = self._attempt
        if attempt is None or attempt.stopped or reason == self._view.reason:
            return
        self._setting.say(events.StageWaiting(at=self._now, stage=self.name, reason=reason))
        if attempt.began and reason:
            attempt.began = False
            self._drop_tasks()

    def _expired(self, number: int) -> None:
        if self._attempt is not None and self._attempt.number == number:
            self._setting.errands.deed(partial(self._attempt.stop, Stop.EXPIRED))

    def _over(self, how: Ended) -> None:
        attempt = self._attempt
        assert attempt is not None
        self._attempts = attempt.number
        if how.ok and not attempt.seen:
            self._running(attempt.key)  # for targets that never say so
        self._attempt = None
        self._drop_tasks()
        if attempt.stopped is Stop.HALTED:
            self.end(StageState.CANCELLED, self._why, how)
        elif attempt.stopped is Stop.EXPIRED:
            self._failed(attempt, replace(how, reason=self._limit_reason(attempt, how.reason), retry=True))
        elif how.ok:
            batch = self.planned.stage.kind is Kind.BATCH
            self.end(StageState.SUCCEEDED, "" if batch else self._why, how)
        else:
            self._failed(attempt, how)

    # What follows

    def _settle(self, why: str) -> None:
        """It will run, as soon as it is prepared."""
        self._settled, self._why = True, why
        if self._view.prepared:
            self._launch()
        elif self._preparing is None:
            self.prepare()

    def _launch(self) -> None:
        try:
            inputs = self._inputs()
        except StageError as error:
            self.end(StageState.FAILED, sentence(error))
            return
        self._attempts += 1
        setting = self._setting
        attempt = Attempt(setting.plan, setting.target, self.planned, self._attempts, setting.reports)
        self._attempt = attempt
        setting.errands.deed(lambda: attempt.run(inputs, self._variables))

    def _inputs(self) -> dict[str, str]:
        """Digests of what it reads. Raises StageError when something of it was not made."""
        found = dict(self.planned.inputs)
        for wanted in self.planned.stage.inputs:
            maker = self._setting.view.stages.get(wanted.stage)
            if maker is not None and wanted.output in maker.outputs:
                found[wanted.name] = maker.outputs[wanted.output]
            elif wanted.name not in found and self.planned is not self._setting.plan.on_failure:
                raise StageError(f"what it reads, {wanted.stage}.{wanted.output}, was not made")
        return found

    def _failed(self, attempt: Attempt, how: Ended) -> None:
        """An attempt has failed: try again, or let the stage fail."""
        does = self.planned.stage.does
        retries = does.retries if isinstance(does, Batch) else 0
        if not how.retry or attempt.number > retries or self._halted:
            self.end(StageState.FAILED, how.reason, how)
            return
        delay = min(LONGEST_PAUSE, 2.0 ** (attempt.number - 1)) * (0.75 + 0.5 * self._setting.jitter())
        self._setting.say(
            events.StageRetrying(
                at=self._now, stage=self.name, attempt=attempt.number, delay=delay, reason=how.reason
            )
        )
        self._waiting = self._setting.errands.pause(self.name, delay)

    def _limit_reason(self, attempt: Attempt, obstacle: str) -> str:
        does = self.planned.stage.does
        if isinstance(does, Batch):
            return reasons.batch_timeout(does.timeout or 0.0)
        return reasons.startup_timeout(does.startup_timeout, obstacle, attempt.last_lines)

    def _drop_tasks(self) -> None:
        for task in (self._preparing, self._waiting):
            if task is not None:
                task.cancel()
        self._preparing = self._waiting = None

    @property
    def _now(self) -> float:
        return self._setting.clock.time()
