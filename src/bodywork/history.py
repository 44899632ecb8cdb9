"""What happened and what is wanted: runs, their events, releases, and the agent's services.

All of it is in one SQLite file. A run is the list of its events; the row of the run follows them,
so that lists of runs are quick. Methods may be called from any thread; all raise MachineError
when the file cannot be used.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from bodywork.database import Database
from bodywork.errors import NotFoundError, UsageError
from bodywork.run.events import Event, RunEnded, RunStarted, StageOutput
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.record import decode_event, decode_plan, encode_event, encode_plan
from bodywork.run.states import RunState

if TYPE_CHECKING:
    from bodywork.run.plan import Plan

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        run TEXT PRIMARY KEY, pipeline TEXT NOT NULL, target TEXT NOT NULL, repository TEXT NOT NULL,
        ref TEXT NOT NULL, "commit" TEXT NOT NULL, state TEXT NOT NULL, started REAL NOT NULL,
        ended REAL, kind TEXT NOT NULL, reason TEXT NOT NULL, plan TEXT NOT NULL
    );
    CREATE INDEX runs_of_pipeline ON runs (pipeline, started);
    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        event TEXT NOT NULL
    );
    CREATE INDEX events_of_run ON events (run);
    CREATE TABLE releases (
        number INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, target TEXT NOT NULL, run TEXT NOT NULL,
        "commit" TEXT NOT NULL, at REAL NOT NULL, services TEXT NOT NULL
    );
    CREATE INDEX releases_of_pipeline ON releases (pipeline, target);
    CREATE TABLE services (
        pipeline TEXT NOT NULL, stage TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (pipeline, stage)
    );
    """,
    """
    ALTER TABLE runs ADD COLUMN date TEXT;
    ALTER TABLE runs ADD COLUMN backfill TEXT;
    """,
    """
    CREATE TABLE schedules (
        name TEXT PRIMARY KEY, pipeline TEXT NOT NULL, document TEXT NOT NULL, made REAL NOT NULL,
        paused REAL, last REAL NOT NULL, tip TEXT NOT NULL, trouble TEXT NOT NULL
    );
    CREATE TABLE firings (
        number INTEGER PRIMARY KEY,
        schedule TEXT NOT NULL REFERENCES schedules ON DELETE CASCADE,
        due REAL NOT NULL, cause TEXT NOT NULL, state TEXT NOT NULL, run TEXT NOT NULL,
        process TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL, ended REAL
    );
    CREATE UNIQUE INDEX times_of_schedule ON firings (schedule, due) WHERE cause = 'time';
    CREATE INDEX firings_of_schedule ON firings (schedule, number);
    """,
    """
    CREATE TABLE claims (
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, digest TEXT NOT NULL,
        PRIMARY KEY (run, digest)
    );
    CREATE INDEX claims_of_digest ON claims (digest);
    CREATE TABLE stores (address TEXT PRIMARY KEY);
    """,
    """
    ALTER TABLE schedules ADD COLUMN owed TEXT NOT NULL DEFAULT '';
    ALTER TABLE firings ADD COLUMN tip TEXT NOT NULL DEFAULT '';
    """,
)
"""What makes schema N+1 out of schema N; entries are added and never changed."""


FIELDS = tuple(field.name for field in fields(RunRecord))
COLUMNS = ", ".join(f'"{name}"' for name in FIELDS)


class History:
    """The history kept in the file at `path`, which is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, MIGRATIONS)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def begin(self, record: RunRecord, plan: Plan) -> None:
        """Write down a new run. Raises UsageError when there is one of that id."""
        values = [getattr(record, name) for name in FIELDS]
        marks = ", ".join("?" * (len(values) + 1))
        try:
            with self._database.writing() as db:
                db.execute(
                    f"INSERT INTO runs ({COLUMNS}, plan) VALUES ({marks})", [*values, encode_plan(plan)]
                )
        except sqlite3.IntegrityError:
            raise UsageError(f"there is a run {record.run} already") from None

    def record(self, run: str, event: Event, *, release: Release | None = None) -> None:
        """Add an event to a run, and with it the release that it makes; the run's row follows.

        Raises NotFoundError when there is no such run.
        """
        if isinstance(event, StageOutput):
            raise ValueError("output of stages belongs into log files")
        try:
            with self._database.writing() as db:
                db.execute("INSERT INTO events (run, event) VALUES (?, ?)", (run, encode_event(event)))
                if isinstance(event, RunEnded):
                    _set_state(db, run, event.state, event.at, event.reason)
                elif isinstance(event, RunStarted) and event.resumed:
                    _set_state(db, run, RunState.RUNNING, None, "")
                if release is not None:
                    _add_release(db, release)
        except sqlite3.IntegrityError:
            raise _no_run(run) from None

    def events(self, run: str) -> list[Event]:
        """The events of a run, in their order; `run` is the full id."""
        rows = self._database.read("SELECT event FROM events WHERE run = ? ORDER BY number", run)
        return [decode_event(text) for (text,) in rows]

    def plan(self, run: str) -> Plan:
        """The plan of a run, given by its full id. Raises NotFoundError."""
        rows = self._database.read("SELECT plan FROM runs WHERE run = ?", run)
        if not rows:
            raise _no_run(run)
        return decode_plan(rows[0][0])

    def run(self, run: str) -> RunRecord:
        """A run by its id or the beginning of it. Raises NotFoundError: none, or more than one."""
        where = "WHERE substr(run, 1, length(?)) = ? ORDER BY run = ? DESC, started DESC LIMIT 2"
        records = self._records(where, run, run, run)
        if not run or not records:
            raise _no_run(run)
        if len(records) > 1 and records[0].run != run:
            raise NotFoundError(
                f"{run} is the beginning of several runs, as of {records[0].run} and {records[1].run}",
                hint="give more of the run's id",
            )
        return records[0]

    def runs(self, pipeline: str | None = None, *, limit: int | None = None) -> list[RunRecord]:
        """Runs, of one pipeline or of all, newest first."""
        order, most = "ORDER BY started DESC, rowid DESC LIMIT ?", -1 if limit is None else limit
        if pipeline is None:
            return self._records(order, most)
        return self._records(f"WHERE pipeline = ? {order}", pipeline, most)

    def pipelines(self) -> list[str]:
        """The names of all pipelines that have run, sorted."""
        return [
            name for (name,) in self._database.read("SELECT DISTINCT pipeline FROM runs ORDER BY pipeline")
        ]

    def add_release(self, release: Release) -> None:
        with self._database.writing() as db:
            _add_release(db, release)

    def releases(self, pipeline: str, target: str) -> list[Release]:
        """The releases of a pipeline on a target, newest first."""
        rows = self._database.read(
            'SELECT run, "commit", at, services FROM releases'
            " WHERE pipeline = ? AND target = ? ORDER BY number DESC",
            pipeline,
            target,
        )
        return [
            Release(
                pipeline=pipeline, target=target, run=run, commit=commit, at=at, services=json.loads(services)
            )
            for run, commit, at, services in rows
        ]

    def delete_pipeline(self, pipeline: str, target: str) -> None:
        """Forget the runs of a pipeline on a target, their events and its releases."""
        with self._database.writing() as db:
            for table in ("runs", "releases"):
                db.execute(f"DELETE FROM {table} WHERE pipeline = ? AND target = ?", (pipeline, target))

    def services(self) -> list[tuple[str, str, str]]:
        """The services that are wanted: pipeline, stage and a document that is the agent's own."""
        return self._database.read("SELECT pipeline, stage, document FROM services ORDER BY pipeline, stage")

    def put_service(self, pipeline: str, stage: str, document: str) -> None:
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO services VALUES (?, ?, ?)", (pipeline, stage, document))

    def drop_service(self, pipeline: str, stage: str) -> None:
        with self._database.writing() as db:
            db.execute("DELETE FROM services WHERE pipeline = ? AND stage = ?", (pipeline, stage))

    def _records(self, where: str, *values: object) -> list[RunRecord]:
        rows = self._database.read(f"SELECT {COLUMNS} FROM runs {where}", *values)
        records = (dict(zip(FIELDS, row, strict=True)) for row in rows)
        return [RunRecord(**{**record, "state": RunState(record["state"])}) for record in records]


def _set_state(db: sqlite3.Connection, run: str, state: RunState, ended: float | None, reason: str) -> None:
    db.execute("UPDATE runs SET state = ?, ended = ?, reason = ? WHERE run = ?", (state, ended, reason, run))


def _add_release(db: sqlite3.Connection, release: Release) -> None:
    services = json.dumps({name: dict(inputs) for name, inputs in release.services.items()})
    db.execute(
        'INSERT INTO releases (pipeline, target, run, "commit", at, services) VALUES (?, ?, ?, ?, ?, ?)',
        (release.pipeline, release.target, release.run, release.commit, release.at, services),
    )


def _no_run(run: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run}", hint="see them all: bodywork runs")
