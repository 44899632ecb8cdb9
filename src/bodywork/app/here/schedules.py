"""The schedules of this machine: kept in the history's database, fired by the agent."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile

from bodywork.app.execution import new_run
from bodywork.app.here.lock import holder
from bodywork.app.here.service_unit import unit_of
from bodywork.app.here.site import NAME, LocalSite
from bodywork.app.parts import Parts
from bodywork.app.past import state_of
from bodywork.app.run_logs import show_run
from bodywork.app.site import Chunk
from bodywork.errors import BusyError, NotFoundError
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Firing, State

POLL = 0.1
"""Seconds between two looks at whether a firing has a run yet."""

MOMENT = 10.0
"""Seconds for which the end of a run may take to be known of its firing."""


class SchedulesHere:
    """`Schedules` of this machine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._book = parts.book

    def suited(self, definition: Definition) -> Definition:
        return definition

    def put(self, definition: Definition, tip: str) -> Kept | None:
        before = self._book.put(definition, now=time.time(), tip=tip)
        self._wake()
        return before

    def kept(self) -> list[Kept]:
        return self._book.kept()

    def get(self, name: str) -> Kept:
        return self._book.get(name)

    def firings(self, name: str, limit: int) -> list[Firing]:
        self.get(name)
        found = self._book.firings(name, limit=limit)
        return asyncio.run(self._as_they_stand(found))

    def run_now(self, name: str) -> Firing:
        definition = self.get(name).definition
        lock = self._parts.home.pipeline_lock(NAME, definition.pipeline)
        for _ in range(10):  # a run that has just ended is told of, and the oldest one is forgotten
            if (held := holder(lock)) is None:
                break
            time.sleep(0.05)
        if held is not None:
            raise BusyError(
                f"pipeline {definition.pipeline} is busy: run {held.run or '(just starting)'} is in progress",
                hint=f"wait for its end, or stop it: bodywork stop {definition.pipeline}",
            )
        firing = self._book.ask(name, now=time.time(), run=new_run())
        self._wake()
        return firing

    def pause(self, name: str) -> None:
        self.get(name)
        self._book.pause(name, time.time())
        asyncio.run(self._parts.agent.wake_schedules())

    def resume(self, name: str) -> None:
        kept, now = self.get(name), time.time()
        if kept.paused is not None:
            self._book.resume(name, now, _passed(kept, now))
        self._wake()

    def delete(self, name: str) -> None:
        self.get(name)
        self._book.delete(name)
        shutil.rmtree(self._parts.home.firing_log(name, 0).parent, ignore_errors=True)
        asyncio.run(self._parts.agent.wake_schedules())

    def logs(self, name: str, *, follow: bool, show: Callable[[Chunk], None]) -> Firing:
        self.get(name)
        fired = [one for one in self._book.firings(name) if one.run or one.state is State.FAILED]
        if not fired:
            raise NotFoundError(
                f"schedule {name} has not fired yet", hint=f"fire it: bodywork schedule run-now {name}"
            )
        firing = self._begun(fired[0]) if follow else fired[0]
        if self._has_run(firing):
            asyncio.run(self._show(firing.run, follow, show))
            return self._ended(firing) if follow else firing
        path = self._parts.home.firing_log(name, firing.number)
        if path.exists():
            show(Chunk(source="deploy", text=path.read_text(errors="replace")))
        return firing

    async def _show(self, run: str, follow: bool, show: Callable[[Chunk], None]) -> None:
        await show_run(LocalSite(self._parts), self._parts.history.run(run), follow=follow, show=show)

    def _ended(self, firing: Firing) -> Firing:
        """The firing of a run that has ended, as soon as that is in the book; it takes a moment."""
        deadline = time.monotonic() + MOMENT
        while not firing.state.ended and time.monotonic() < deadline:
            time.sleep(POLL)
            firing = self._book.firing(firing.number)
        return firing

    def keeps_firing(self) -> str:
        if unit_of(self._parts.home, self._parts.ours).path.exists():
            return ""
        return (
            "the agent on this machine fires it, and has to be started after a reboot: "
            "bodywork agent start; or once for all: bodywork agent install"
        )

    def at_rest(self) -> str:
        if asyncio.run(self._parts.agent.status()) is not None:
            return ""
        if all(one.paused is not None for one in self.kept()):
            return ""
        return "the agent does not run, so that nothing fires; start it: bodywork agent start"

    def _wake(self) -> None:
        asyncio.run(self._parts.agent.wake_schedules(start=True))

    def _begun(self, firing: Firing) -> Firing:
        """Wait until a firing has a run, or has ended without one."""
        while not firing.state.ended and not self._has_run(firing):
            time.sleep(POLL)
            firing = self._book.firing(firing.number)
        return firing

    def _has_run(self, firing: Firing) -> bool:
        try:
            return bool(firing.run) and self._parts.history.run(firing.run).run == firing.run
        except NotFoundError:
            return False

    async def _as_they_stand(self, firings: list[Firing]) -> list[Firing]:
        """A run may have been resumed after its firing had ended."""
        site = LocalSite(self._parts)
        found = []
        for firing in firings:
            if firing.state.ended and self._has_run(firing):
                record = self._parts.history.run(firing.run)
                state = State(str(await state_of(site, record)))
                reason = firing.reason if state is firing.state else record.reason
                firing = replace(firing, state=state, reason=reason, ended=record.ended or firing.ended)
            found.append(firing)
        return found


def _passed(kept: Kept, now: float) -> list[datetime]:
    """The times that have come while it was paused."""
    timing = kept.definition.timing
    if timing is None:
        return []
    until = datetime.fromtimestamp(now, UTC)
    times = timing.cron.after(datetime.fromtimestamp(kept.last, UTC), timing.zone)
    return list(takewhile(lambda one: one <= until, times))
