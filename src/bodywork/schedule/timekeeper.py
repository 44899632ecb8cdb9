"""Fires schedules: looks at the clock again and again, and decides about each time that has come.

It never waits longer than `LONGEST`, since clocks are set and machines are suspended: a wait does not
end when such a sleep would have. All that it has decided is in the book before anything is done, and
what is done is found there again by the next one, should this one die at any point:

before `settle`: nothing has happened; the time is decided later.
after it, before the process starts or takes the firing: it waits in the book, and is started again.
after `take`: the process goes on without us; its own end, or that it is gone, is seen by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from bodywork.errors import BodyworkError
from bodywork.schedule.book import Book, Kept
from bodywork.schedule.definition import Definition
from bodywork.schedule.due import LATE, Fate, decide, still, upcoming
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.spec.model import Overlap

LONGEST = 30.0
"""Seconds to wait at most."""

CLOSELY = 2.0
"""Seconds between two looks at what ends without a word: a process of an earlier agent, a slow host."""

ENDED_EARLY = "its command ended before a run began"


class Clock(Protocol):
    """Time, and waiting; tests bring their own."""

    def time(self) -> float: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Hands(Protocol):
    """What firing needs of the rest of bodywork."""

    def new_run(self) -> str:
        """The id of a run that is yet to begin."""
        ...

    def busy(self, pipeline: str) -> str:
        """The run of a pipeline that is in progress; "" when there is none."""
        ...

    def tip(self, definition: Definition) -> str:
        """The commit at which the ref is now. Blocks; raises the errors of git."""
        ...

    async def carry_out(self, firing: Firing) -> str:
        """Start the process that carries it out, and wait for its end; returns its last words."""
        ...

    def alive(self, process: str) -> bool:
        """Whether a process that has taken a firing still runs."""
        ...

    def outcome(self, run: str) -> tuple[State, str] | None:
        """How a run has ended, and why; None when there is no such run."""
        ...


class Timekeeper:
    """The loop. `log` gets a line for what nobody else is told."""

    def __init__(self, book: Book, hands: Hands, clock: Clock, log: Callable[[str], None]) -> None:
        self._book = book
        self._hands = hands
        self._clock = clock
        self._log = log
        self._woken = asyncio.Event()
        self._going: dict[int, asyncio.Task[None]] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._looked: dict[str, float] = {}
        self.active = 0
        self.wanted = True
        """Whether there is anything to wait for."""

    def wake(self) -> None:
        """Something has been changed: look at once."""
        self._woken.set()

    async def run(self) -> None:
        """Until it is cancelled. Processes that were started go on."""
        try:
            while True:
                self._woken.clear()
                try:
                    wait = self.look()
                except BodyworkError as error:
                    self._log(f"schedules cannot be looked at: {error.message}")
                    wait = LONGEST
                except Exception:
                    self._log(f"bug: {traceback.format_exc()}")
                    wait = LONGEST
                await self._sleep(wait)
        finally:
            for task in (*self._going.values(), *self._looks.values()):
                task.cancel()

    def look(self) -> float:
        """Decide about what has come, start what waits; returns after how many seconds to look again."""
        kept, now = self._book.kept(), self._clock.time()
        active = [one for one in kept if one.paused is None]
        for firing in self._book.open():
            self._conclude_left(firing)  # first: a run that is gone is in nobody's way
        waits = [LONGEST, *(self._of_schedule(one, now) for one in active)]
        open_ = self._book.open()
        waits += [self._of_firing(one, kept, now) for one in open_]
        self.active = len(active)
        self.wanted = bool(active or open_)
        return max(0.0, min(waits))

    async def _sleep(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, waking):
                task.cancel()

    # Times

    def _of_schedule(self, kept: Kept, now: float) -> float:
        """Seconds until there may be something to do for it."""
        try:
            return min(self._times(kept, now), self._pushes(kept))
        except BodyworkError as error:
            if kept.trouble != error.message:
                self._book.tell(kept.definition.name, error.message)
            return LONGEST

    def _times(self, kept: Kept, now: float) -> float:
        timing = kept.definition.timing
        if timing is None:
            return LONGEST
        moment = datetime.fromtimestamp(now, UTC)
        since = datetime.fromtimestamp(kept.last, UTC)
        if decisions := decide(timing, last=since, now=moment, busy=self._busy(kept.definition)):
            settled = self._book.settle(kept, decisions, now=now, run=self._hands.new_run())
            for one in decisions if settled else ():
                if one.fate is not Fate.FIRED:
                    self._log(f"{kept.definition.name}: {one.due:%Y-%m-%d %H:%M} {one.fate}: {one.reason}")
        following = upcoming(timing, moment, 1)
        return following[0].timestamp() - now if following else LONGEST

    def _busy(self, definition: Definition) -> str:
        """The run that a new one would meet: in progress, or just about to begin."""
        if definition.rule.overlap is Overlap.REPLACE:
            return ""
        ours = (one.run for one in self._book.open() if one.schedule == definition.name)
        return self._hands.busy(definition.pipeline) or next(ours, "")

    # Pushes

    def _pushes(self, kept: Kept) -> float:
        every, name = kept.definition.rule.on_push, kept.definition.name
        if every is None:
            return LONGEST
        due = self._looked.get(name, -every) + every - self._clock.monotonic()
        if due > 0:
            return due
        if name in self._looks:
            return CLOSELY
        self._looked[name] = self._clock.monotonic()
        self._looks[name] = asyncio.get_running_loop().create_task(self._look_at_ref(kept))
        return every

    async def _look_at_ref(self, kept: Kept) -> None:
        """While a run is in progress the ref may move on: it is looked at again after that.

        So is a commit of which no run has begun yet, whatever has kept it from that.
        """
        name = kept.definition.name
        try:
            tip = await asyncio.to_thread(self._hands.tip, kept.definition)
            if kept.trouble and tip != kept.owed:
                self._book.tell(name, "")
            if (tip != kept.tip or tip == kept.owed) and not self._busy(kept.definition):
                self._book.push(kept, tip, now=self._clock.time(), run=self._hands.new_run())
                self.wake()
        except BodyworkError as error:
            if kept.trouble != error.message:
                self._log(f"{name}: {error.message}")
                self._book.tell(name, error.message)
        except Exception:
            self._log(f"bug: {traceback.format_exc()}")
        finally:
            self._looks.pop(name, None)

    # Firings

    def _of_firing(self, firing: Firing, kept: list[Kept], now: float) -> float:
        if firing.number in self._going:
            return LONGEST
        if firing.state is State.RUNNING:
            return CLOSELY
        if (late := self._too_late(firing, kept, now)) is not None:
            reason = f"{late}; the agent had died as it was to begin"
            self._book.end(firing.number, State.MISSED, reason, now=now, began=False)
        else:
            task = asyncio.get_running_loop().create_task(self._carry_out(firing))
            self._going[firing.number] = task
        return LONGEST

    def _conclude_left(self, firing: Firing) -> None:
        """See to a firing that an earlier agent has started, if its process is gone."""
        if firing.number not in self._going and firing.state is State.RUNNING:
            self._conclude(firing.number, "")

    def _too_late(self, firing: Firing, kept: list[Kept], now: float) -> str | None:
        """Why a firing that an earlier agent has left waiting is not to begin any more; None: it is."""
        definition = next((k.definition for k in kept if k.definition.name == firing.schedule), None)
        timing = definition.timing if definition else None
        if firing.cause is not Cause.TIME or timing is None or now - firing.at <= LATE.total_seconds():
            return None
        due = datetime.fromtimestamp(firing.due, UTC)
        decision = still(timing, due, datetime.fromtimestamp(now, UTC))
        return None if decision.fate is Fate.FIRED else decision.reason

    async def _carry_out(self, firing: Firing) -> None:
        try:
            said = await self._hands.carry_out(firing)
            self._conclude(firing.number, said)
        except Exception as error:
            if not isinstance(error, OSError):
                self._log(f"bug: {traceback.format_exc()}")
            reason = f"its command could not be started: {error}"
            self._book.end(firing.number, State.FAILED, reason, now=self._clock.time(), began=False)
        finally:
            self._going.pop(firing.number, None)
            self.wake()

    def _conclude(self, number: int, said: str) -> None:
        """Write down the end of a firing whose process has gone without doing so itself."""
        with contextlib.suppress(BodyworkError):
            firing = self._book.firing(number)
            if firing.state.ended or (firing.process and self._hands.alive(firing.process)):
                return
            outcome = self._hands.outcome(firing.run)
            state, reason = outcome or (State.FAILED, f"{ENDED_EARLY}: {said}" if said else ENDED_EARLY)
            self._book.end(
                number,
                state,
                reason,
                now=self._clock.time(),
                began=outcome is not None,
                process=firing.process,
            )
