"""Schedules and firings as rows of the history's database. Each function is part of a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC
from typing import Any

from bodywork.schedule.due import Decision, Fate
from bodywork.schedule.firing import Cause, Firing, State, tried_again, tried_before

FIELDS = tuple(field.name for field in fields(Firing))
COLUMNS = ", ".join(FIELDS)
STATES = {Fate.FIRED: State.WAITING, Fate.SKIPPED: State.SKIPPED, Fate.MISSED: State.MISSED}
OPEN = f"('{State.WAITING}', '{State.RUNNING}')"
PUSHES = f"schedule = ? AND cause = '{Cause.PUSH}'"


def firing_of(row: Sequence[Any]) -> Firing:
    """The inverse of COLUMNS."""
    one = dict(zip(FIELDS, row, strict=True))
    return Firing(**{**one, "cause": Cause(one["cause"]), "state": State(one["state"])})


def insert(db: sqlite3.Connection, name: str, decision: Decision, now: float, run: str) -> None:
    state = STATES[decision.fate]
    fired = decision.fate is Fate.FIRED
    add(
        db,
        name,
        due=decision.due.astimezone(UTC).timestamp(),
        cause=Cause.TIME,
        state=state,
        run=run if fired else "",
        at=now,
        reason=decision.reason,
        ended=None if fired else now,
    )


def add(
    db: sqlite3.Connection,
    name: str,
    *,
    due: float,
    cause: Cause,
    state: State,
    run: str,
    at: float,
    reason: str = "",
    ended: float | None = None,
    tip: str = "",
) -> int:
    """A time that is there already is left as it is: a clock that was set back brings it again."""
    added = db.execute(
        "INSERT OR IGNORE INTO firings (schedule, due, cause, state, run, process, reason, at, ended, tip)"
        " VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, ?)",
        (name, due, cause, state, run, reason, at, ended, tip),
    )
    return int(added.lastrowid or 0)


def see(db: sqlite3.Connection, name: str, *, before: str, tip: str) -> bool:
    """The ref is at `tip`, and was last seen at `before`. Whether that is to be run, by whoever asks.

    What the trouble is with a push that is tried again is said until a run of it has begun.
    """
    tried = f"EXISTS (SELECT 1 FROM firings WHERE {PUSHES} AND state IN {OPEN})"
    changed = db.execute(
        "UPDATE schedules SET tip = ?, owed = ?, trouble = CASE WHEN tip = ? THEN trouble ELSE '' END"
        f" WHERE name = ? AND tip = ? AND paused IS NULL AND (tip <> ? OR (owed = ? AND NOT {tried}))",
        (tip, tip, tip, name, before, tip, tip, name),
    )
    return changed.rowcount == 1


def conclude_push(db: sqlite3.Connection, number: int, *, began: bool) -> None:
    """See to what is owed after the end of a firing, if it was that of the newest push."""
    (name,) = db.execute("SELECT schedule FROM firings WHERE number = ?", (number,)).fetchone()
    last_two = f"SELECT {COLUMNS} FROM firings WHERE {PUSHES} ORDER BY number DESC LIMIT 2"
    pushes = [firing_of(row) for row in db.execute(last_two, (name,))]
    if not pushes or pushes[0].number != number:
        return
    if began:
        db.execute("UPDATE schedules SET owed = '', trouble = '' WHERE name = ?", (name,))
        return
    db.execute("UPDATE schedules SET trouble = ? WHERE name = ?", (tried_again(pushes[0]), name))
    if (before := tried_before(pushes[1:], pushes[0])) is not None:
        # The newer row stays, so that its number is not given to another firing while this one is concluded.
        db.execute("DELETE FROM firings WHERE number = ?", (before.number,))
        db.execute("UPDATE firings SET due = ?, at = ? WHERE number = ?", (before.due, before.at, number))
