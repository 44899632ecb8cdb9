"""The schedules of this machine and all that became of their times, in the history's database.

Each method is one transaction. What decides about a time (`settle`, `push`) counts only if nobody
else has decided since it was looked at; so two that look at the same time cannot both fire it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bodywork.database import Database
from bodywork.errors import NotFoundError
from bodywork.schedule.definition import Definition
from bodywork.schedule.due import Decision, Fate
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.schedule.rows import COLUMNS, OPEN, add, conclude_push, firing_of, insert, see

MOST_MISSED = 100
"""Missed times that get a line each, after a long time without power; one line tells of those before."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A schedule as it stands. Times are seconds since the epoch.

    `last` is the time up to which all is decided, `paused` since when nothing fires (None: it does),
    `tip` the commit at which the ref was last seen, `owed` the same as long as no run of it has begun,
    `trouble` why it could not be looked at or run, `looked` when it last was (None: nobody knows).
    """

    definition: Definition
    made: float
    paused: float | None
    last: float
    tip: str = ""
    owed: str = ""
    trouble: str = ""
    looked: float | None = None


class Book:
    """Schedules and firings. All methods raise the errors of `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        self._database.close()

    # Schedules

    def put(self, definition: Definition, *, now: float, tip: str) -> Kept | None:
        """Make or change a schedule; returns what it was before.

        Times before `now` are nothing to a new one, nor to one whose times have changed; nor are pushes
        to one whose ref is another, or was not looked at.
        """
        before = next((one for one in self.kept() if one.definition.name == definition.name), None)
        last, owed = now, ""
        if before is not None and same_times(before.definition, definition):
            last = before.last
        if before is not None and looked_at(before.definition, definition):
            tip, owed = before.tip, before.owed
        values = (definition.pipeline, definition.encode(), last, tip, owed, definition.name)
        with self._database.writing() as db:
            if before is None:
                db.execute(
                    "INSERT INTO schedules (pipeline, document, last, tip, owed, name, made, trouble)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, '')",
                    (*values, now),
                )
            else:
                db.execute(
                    "UPDATE schedules SET pipeline = ?, document = ?, last = ?, tip = ?, owed = ?,"
                    " trouble = '' WHERE name = ?",
                    values,
                )
        return before

    def kept(self) -> list[Kept]:
        """All schedules, by name."""
        rows = self._database.read(
            "SELECT document, made, paused, last, tip, owed, trouble FROM schedules ORDER BY name"
        )
        return [
            Kept(
                definition=Definition.decode(text),
                made=made,
                paused=paused,
                last=last,
                tip=tip,
                owed=owed,
                trouble=trouble,
            )
            for text, made, paused, last, tip, owed, trouble in rows
        ]

    def get(self, name: str) -> Kept:
        """Raises NotFoundError with the nearest name."""
        every = {one.definition.name: one for one in self.kept()}
        if name not in every:
            raise not_there(name, list(every))
        return every[name]

    def pause(self, name: str, now: float) -> None:
        with self._database.writing() as db:
            db.execute("UPDATE schedules SET paused = ? WHERE name = ? AND paused IS NULL", (now, name))

    def resume(self, name: str, now: float, passed: Sequence[datetime]) -> None:
        """Fire again, from now on; `passed` are the times that came while it was paused."""
        with self._database.writing() as db:
            db.execute("UPDATE schedules SET paused = NULL, last = ? WHERE name = ?", (now, name))
            told = [Decision(due=due, fate=Fate.MISSED, reason="the schedule was paused") for due in passed]
            for decision in _gathered(told):
                insert(db, name, decision, now, "")

    def delete(self, name: str) -> None:
        """Forget a schedule with its firings; their runs stay."""
        with self._database.writing() as db:
            db.execute("DELETE FROM schedules WHERE name = ?", (name,))

    def tell(self, name: str, trouble: str) -> None:
        """Why the ref could not be looked at; "" when it could."""
        with self._database.writing() as db:
            db.execute("UPDATE schedules SET trouble = ? WHERE name = ?", (trouble, name))

    # Decisions

    def settle(self, kept: Kept, decisions: Sequence[Decision], *, now: float, run: str) -> bool:
        """Write down what becomes of times; `run` is the id of the run, should one of them fire.

        False, and nothing is written: somebody else has decided, or the schedule is paused or gone.
        """
        name, last = kept.definition.name, decisions[-1].due.timestamp()
        with self._database.writing() as db:
            changed = db.execute(
                "UPDATE schedules SET last = ? WHERE name = ? AND last = ? AND paused IS NULL",
                (last, name, kept.last),
            )
            if changed.rowcount != 1:
                return False
            for decision in _gathered(decisions):
                insert(db, name, decision, now, run)
        return True

    def push(self, kept: Kept, tip: str, *, now: float, run: str) -> bool:
        """The ref has moved to `tip`, or no run of that has begun yet: fire, unless somebody else has.

        As `settle`.
        """
        name = kept.definition.name
        with self._database.writing() as db:
            if not see(db, name, before=kept.tip, tip=tip):
                return False
            add(db, name, due=now, cause=Cause.PUSH, state=State.WAITING, run=run, at=now, tip=tip)
        return True

    def ask(self, name: str, *, now: float, run: str) -> Firing:
        """Fire now, because somebody wants it."""
        with self._database.writing() as db:
            number = add(db, name, due=now, cause=Cause.ASKED, state=State.WAITING, run=run, at=now)
        return self.firing(number)

    # Firings

    def take(self, number: int, process: str) -> bool:
        """Become the one that carries a firing out; False: another one is, or it has ended."""
        with self._database.writing() as db:
            changed = db.execute(
                "UPDATE firings SET state = ?, process = ? WHERE number = ? AND state = ?",
                (State.RUNNING, process, number, State.WAITING),
            )
            return changed.rowcount == 1

    def end(
        self, number: int, state: State, reason: str, *, now: float, began: bool, process: str | None = None
    ) -> bool:
        """How a firing ended; `began`: there is a run of it. False: that was known already.

        Without a reason, what was said before stays: how late it was. With `process`, only if that is
        still the one that carries it out ("": nobody does). A push of which there is no run is owed one; its
        line takes the place of that of the try before.
        """
        with self._database.writing() as db:
            changed = db.execute(
                "UPDATE firings SET state = ?, reason = CASE WHEN ? THEN reason ELSE ? END, ended = ?,"
                " run = CASE WHEN ? THEN run ELSE '' END"
                f" WHERE number = ? AND state IN {OPEN} AND (? IS NULL OR process = ?)",
                (state, not reason, reason, now, began, number, process, process),
            )
            if changed.rowcount == 1:
                conclude_push(db, number, began=began)
            return changed.rowcount == 1

    def firing(self, number: int) -> Firing:
        """Raises NotFoundError: there is none, or its schedule is gone."""
        found = self._firings("WHERE number = ?", number)
        if not found:
            raise NotFoundError(f"there is no firing {number}: its schedule may have been deleted")
        return found[0]

    def firings(self, name: str, *, limit: int = -1) -> list[Firing]:
        """The firings of a schedule, newest first."""
        return self._firings("WHERE schedule = ? ORDER BY due DESC, number DESC LIMIT ?", name, limit)

    def open(self) -> list[Firing]:
        """All that wait or run, oldest first."""
        return self._firings(f"WHERE state IN {OPEN} ORDER BY number")

    def _firings(self, where: str, *values: object) -> list[Firing]:
        rows = self._database.read(f"SELECT {COLUMNS} FROM firings {where}", *values)
        return [firing_of(row) for row in rows]


def not_there(name: str, known: Sequence[str]) -> NotFoundError:
    """The error for a schedule that is not among those that are."""
    near = difflib.get_close_matches(name, known, n=1)
    return NotFoundError(
        f"there is no schedule {name}" + (f" (did you mean {near[0]}?)" if near else ""),
        hint=f"schedules: {', '.join(known)}" if known else "make one with: bodywork schedule",
    )


def same_times(before: Definition, after: Definition) -> bool:
    """Whether the times of two definitions are the same."""
    return (before.rule.cron, before.rule.timezone) == (after.rule.cron, after.rule.timezone)


def looked_at(before: Definition, after: Definition) -> bool:
    """Whether the branch of a definition was looked at already, for the one before it."""
    looked = before.rule.on_push is not None
    return looked and (before.repository, before.ref) == (after.repository, after.ref)


def _gathered(decisions: Sequence[Decision]) -> list[Decision]:
    """The same, with all but the newest of very many missed times as one."""
    if len(decisions) <= MOST_MISSED + 1:
        return list(decisions)
    many, rest = decisions[:-MOST_MISSED], decisions[-MOST_MISSED:]
    first, last = many[0].due, many[-1]
    told = f"{last.reason}; so did {len(many) - 1} times before it, from {first:%Y-%m-%d %H:%M} UTC on"
    return [Decision(due=last.due, fate=last.fate, reason=told), *rest]
