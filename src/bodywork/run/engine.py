"""The engine: carries out a plan on a target and tells, as events, what happens.

All decisions are taken in one loop, `Execution.events`: it hears a report, changes the state, says
the events that follow, and begins what is due only when the consumer has taken them: what is
acted on has been recorded before. Tasks prepare, observe, start, watch and wait; they report and
decide nothing. They are no TaskGroup, since such a group may not be left open across a `yield`;
instead, `_leave` stops and awaits all of them, however the generator ends.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from bodywork.run import events, reasons
from bodywork.run.clock import Clock, SystemClock
from bodywork.run.course import Course, Setting
from bodywork.run.errands import Errands
from bodywork.run.events import Event
from bodywork.run.graph import Waiting
from bodywork.run.plan import Action, Plan
from bodywork.run.replay import RunView
from bodywork.run.reports import CancelAsked, Crashed, Removed, Report, Reports
from bodywork.run.states import RunState, StageState
from bodywork.targets.base import Target


def execute(
    plan: Plan,
    target: Target,
    *,
    past: Sequence[Event] = (),
    fail_fast: bool = False,
    cancel: asyncio.Event | None = None,
    clock: Clock | None = None,
    jitter: Callable[[], float] = random.random,
) -> AsyncGenerator[Event, None]:
    """Carry out `plan`; the events come as they happen, from RunStarted to RunEnded.

    `past` are the recorded events of the run when it is resumed: what ended well is not run again.
    With `fail_fast`, a failure stops the stages that run; without, they finish. `cancel`, once
    set, stops everything. `jitter` gives numbers from 0 to 1.

    Nothing goes on unless the events are consumed. Use `contextlib.aclosing`: closing the generator
    early stops all that was started. When it ends, `target.close` has been called. What methods of
    the target raise (UnreachableError, bugs) is raised here, after all has been stopped.
    """
    time = clock or SystemClock()
    return Execution(plan, target, past, fail_fast, cancel, time, jitter).events()


class Execution:
    """One execution of a plan; `events` may be called once."""

    def __init__(
        self,
        plan: Plan,
        target: Target,
        past: Sequence[Event],
        fail_fast: bool,
        cancel: asyncio.Event | None,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._plan, self._target, self._past, self._clock = plan, target, past, clock
        self._fail_fast, self._cancel = fail_fast, cancel
        self._handler = plan.on_failure.stage.name if plan.on_failure else ""
        self._view = RunView((p.stage.name for p in plan.all_stages), self._handler).replay(past)
        self._graph = Waiting([planned.stage for planned in plan.stages])
        self._reports = Reports()
        self._errands = Errands(plan, target, clock, self._reports)
        self._setting = Setting(
            plan=plan,
            target=target,
            clock=clock,
            jitter=jitter,
            view=self._view,
            reports=self._reports,
            errands=self._errands,
            say=self._say,
            ended=self._ended,
        )
        self._courses: dict[str, Course] = {}
        self._said: deque[Event] = deque()
        self._due: deque[str] = deque()
        self._failures: list[tuple[str, str]] = []
        self._cancelled = False
        self._removing = False
        self._left = 0
        """Stages of the workflow that have not ended."""
        self._open = 0
        """Stages that are due and have not ended, and the removal of services."""

    async def events(self) -> AsyncGenerator[Event, None]:
        try:
            if self._past:
                await self._target.regain(self._plan, self._view.unfinished(), ended=self._view.state.ended)
            resumed = bool(self._past)
            self._say(events.RunStarted(at=self._clock.time(), run=self._plan.run, resumed=resumed))
            yield self._said.popleft()
            self._begin()
            while not self._view.state.ended:
                self._act()
                if not self._said:
                    self._hear(await self._reports.get())
                while self._said:
                    yield self._said.popleft()
        except Exception as error:
            for another in await self._leave():
                error.add_note(f"and then: {another!r}")
            raise
        except BaseException:  # closed early, or the task was cancelled
            _raise_first(await self._leave())
            raise
        _raise_first(await self._leave())

    def _begin(self) -> None:
        """Prepare everything at once, in the order of the workflow; most of it long before its turn."""
        for planned in self._plan.all_stages:
            course = Course(planned, self._setting)
            self._courses[course.name] = course
            if not course.state.ended:
                self._left += course.name != self._handler
                if planned.action is not Action.KEEP:
                    course.prepare()
        self._due.extend(self._graph.first())
        for planned in self._plan.stages:
            if self._courses[planned.stage.name].state.good:
                self._due.extend(self._graph.good(planned.stage.name))
        if self._cancel is not None:
            self._errands.await_cancel(self._cancel)

    def _act(self) -> None:
        """Begin what is due. All that was said before has been taken by the consumer."""
        while self._due:
            course = self._courses[self._due.popleft()]
            if not course.state.ended:
                self._open_up(course, {})
        if not self._open and not self._said:
            self._conclude()

    def _open_up(self, course: Course, variables: Mapping[str, str]) -> None:
        self._open += 1
        course.begin(variables)

    def _hear(self, report: Report) -> None:
        match report:
            case Crashed(error=error):
                raise error
            case CancelAsked():
                self._cancel_run()
            case Removed():
                self._removed()
            case _:
                self._courses[report.stage].hear(report)

    def _ended(self, course: Course, state: StageState, reason: str) -> None:
        """A stage has ended. After the first failure nothing more comes due; what is due finishes."""
        self._open -= course.due
        if course.name == self._handler:
            return
        self._left -= 1
        if state.good:
            self._due.extend(self._graph.good(course.name))
        elif state is StageState.FAILED:
            self._failures.append((course.name, reason))
            if len(self._failures) == 1 and not self._cancelled:
                self._skip_rest(f"{course.name} failed")
                if self._fail_fast:
                    self._halt(f"{course.name} failed, and nothing else was to go on (--fail-fast)")

    def _skip_rest(self, reason: str) -> None:
        for planned in self._plan.stages:
            course = self._courses[planned.stage.name]
            if not course.due and not course.state.ended:
                course.end(StageState.SKIPPED, reason)

    def _halt(self, reason: str) -> None:
        for course in self._courses.values():
            if course.due and not course.state.ended:
                course.halt(reason)

    def _cancel_run(self) -> None:
        """Stop everything. When the workflow has ended, only `on_failure` is there to be stopped."""
        if self._left:
            self._cancelled = True
            self._skip_rest(reasons.CANCELLED)
        self._halt(reasons.CANCELLED)

    def _conclude(self) -> None:
        """Nothing is open: tell `on_failure`, remove what is not needed any more, or end the run."""
        if self._left:
            raise RuntimeError(f"{self._left} stages of run {self._plan.run} never came due")
        well = not self._failures and not self._cancelled
        handler = self._courses.get(self._handler)
        if handler is not None and not handler.state.ended:
            if not well and not self._cancelled:
                self._open_up(handler, reasons.variables_on_failure(self._plan, *self._failures[0]))
                return
            handler.end(StageState.SKIPPED, "the run did not fail" if well else reasons.CANCELLED)
        services = {r.service for r in self._plan.removals}.difference(self._view.removed)
        if services and well and not self._removing:
            self._removing = True
            self._open += 1
            self._errands.remove(frozenset(services))
            return
        self._end_run()

    def _removed(self) -> None:
        self._open -= 1
        for removal in self._plan.removals:
            if removal.service not in self._view.removed:
                self._say(
                    events.ServiceRemoved(at=self._clock.time(), stage=removal.service, reason=removal.reason)
                )

    def _end_run(self) -> None:
        state, reason = RunState.SUCCEEDED, ""
        if self._cancelled:
            state, reason = RunState.CANCELLED, reasons.CANCELLED
        elif self._failures:
            state, reason = RunState.FAILED, reasons.run_failed(self._failures)
        self._say(events.RunEnded(at=self._clock.time(), state=state, reason=reason))

    def _say(self, event: Event) -> None:
        self._view.apply(event)
        self._said.append(event)

    async def _leave(self) -> list[Exception]:
        """Stop all that runs, end all tasks, give the target back. What went wrong with that."""
        for course in self._courses.values():
            course.stop(reasons.CANCELLED)
        try:
            return await self._errands.end()
        finally:
            await self._target.close(self._plan)


def _raise_first(errors: Sequence[Exception]) -> None:
    if errors:
        raise errors[0]
