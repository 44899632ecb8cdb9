"""What becomes of each time of a schedule: it fires, or is accounted for with the reason why it did not.

Times are decided on once, in order: whoever asks keeps the last one and asks for those after it. After
a time without power, with nobody to ask, many may be due at once; then at most the last one fires.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from bodywork.spec.cron import Cron
from bodywork.spec.model import Missed, Overlap

LATE = timedelta(seconds=90)
"""How long after its time a firing is still in time: whoever asks, asks more often than that."""


class Fate(StrEnum):
    """What became of a time."""

    FIRED = "fired"
    SKIPPED = "skipped"
    MISSED = "missed"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A schedule as far as time is concerned. `deadline`: seconds after which a time is given up."""

    cron: Cron
    zone: ZoneInfo
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.LAST
    deadline: float | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of the time `due` (UTC). `reason` says why it does not fire, or why so late."""

    due: datetime
    fate: Fate
    reason: str = ""


def decide(timing: Timing, *, last: datetime, now: datetime, busy: str = "") -> list[Decision]:
    """What becomes of the times after `last`, up to `now`, in order; at most the last one fires.

    `busy` is the run of the pipeline that is in progress, "" when there is none.
    """
    due = list(_until(timing, last, now))
    if not due:
        return []
    *earlier, newest = due
    passed = "the next time came before anybody could act on it"
    return [
        *(Decision(due=one, fate=Fate.MISSED, reason=passed) for one in earlier),
        _newest(timing, newest, now - newest, busy),
    ]


def still(timing: Timing, due: datetime, now: datetime) -> Decision:
    """What becomes of a time that was to fire, if nobody has acted on it up to `now`."""
    return _newest(timing, due, now - due, "")


def upcoming(timing: Timing, after: datetime, count: int = 5) -> list[datetime]:
    """The next times, in UTC; fewer when there are no more."""
    times = timing.cron.after(after, timing.zone)
    return [time for _, time in zip(range(count), times, strict=False)]


def _newest(timing: Timing, due: datetime, late: timedelta, busy: str) -> Decision:
    if timing.deadline is not None and late.total_seconds() > timing.deadline:
        reason = f"its deadline of {timing.deadline:g} s had passed"
        return Decision(due=due, fate=Fate.MISSED, reason=reason)
    if late > LATE and timing.missed is Missed.NONE:
        return Decision(due=due, fate=Fate.MISSED, reason="nobody could act on it at its time")
    if busy and timing.overlap is Overlap.SKIP:
        return Decision(due=due, fate=Fate.SKIPPED, reason=f"run {busy} was in progress")
    reason = f"{late.total_seconds():.0f} s late" if late > LATE else ""
    return Decision(due=due, fate=Fate.FIRED, reason=reason)


def _until(timing: Timing, last: datetime, now: datetime) -> Iterator[datetime]:
    for time in timing.cron.after(last, timing.zone):
        if time > now:
            return
        yield time
