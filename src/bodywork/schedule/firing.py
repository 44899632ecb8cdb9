"""One time of a schedule, and what became of it.

waiting ──> running ──> succeeded, failed, cancelled, interrupted     as its run ended
   │           └──────> failed, skipped                               before a run began
   └──> missed, failed
skipped, missed                                                       from the beginning

A push of which no run began is tried again, by a firing whose line takes the place of the one before.

Whoever carries a firing out takes it first (`Book.take`), and only one can: so a firing that waits may
be started by as many agents as there are, and runs once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why there is a firing: its time had come, the ref had moved, or somebody has asked for it."""

    TIME = "time"
    PUSH = "push"
    ASKED = "asked"


class State(StrEnum):
    """Where a firing stands; those of runs have the names that runs have."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def ended(self) -> bool:
        return self not in (State.WAITING, State.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Firing:
    """Times are seconds since the epoch. `due` is the time that it is for, `at` when that was decided.

    `run` is empty where there is no run; `process` is the identity of the one that carries it out; `tip` is
    the commit that was pushed.
    """

    number: int
    schedule: str
    due: float
    cause: Cause
    state: State
    run: str
    process: str
    reason: str
    at: float
    ended: float | None
    tip: str = ""


def tried_before(earlier: Iterable[Firing], firing: Firing) -> Firing | None:
    """The last try of a push, among those `earlier` (newest first), if no run of it could begin.

    One line of the history tells of all such tries, with what kept the newest one from it.
    """
    last = next((one for one in earlier if one.cause is Cause.PUSH), None)
    if last is None or firing.cause is not Cause.PUSH or last.tip != firing.tip:
        return None
    return last if last.state is State.FAILED and not last.run else None


def tried_again(push: Firing) -> str:
    """What the trouble is with a push of which no run could begin."""
    return f"{push.tip[:8]} was pushed, and is tried again until a run of it begins: {push.reason}"


def could_not_begin(earlier: Iterable[Firing]) -> bool:
    """Whether the last one of `earlier` (newest first) that was tried could not even begin a run.

    That all is well again has to be told then.
    """
    untried = (State.SKIPPED, State.MISSED, State.CANCELLED)
    last = next((one for one in earlier if one.state not in untried), None)
    return last is not None and last.state is State.FAILED and not last.run


def runs_beyond(firings: Sequence[Firing], keep: int) -> set[str]:
    """The runs of a schedule but for the newest `keep`, of whose firings the newest comes first."""
    return set([firing.run for firing in firings if firing.run and firing.state.ended][keep:])
