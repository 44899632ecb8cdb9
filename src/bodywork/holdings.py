"""What runs, releases and work in progress hold on to: artifacts, by digest, and environments.

It looks at the history as a whole, where `history` knows one run at a time. A run claims a digest
before it relies on it being in the store, so that a `prune` at the same time lets it be: what is
claimed and what was made are the same to it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from bodywork.database import Database
from bodywork.history import MIGRATIONS

MADE = """
    SELECT events.run, json_extract(event, '$.stage'), made.key, made.value
    FROM events JOIN runs ON runs.run = events.run, json_each(event, '$.outputs') AS made
    WHERE json_extract(event, '$.state') = 'succeeded' AND (? IS NULL OR pipeline = ?)
    ORDER BY number
"""
READ = """
    SELECT run, read.value FROM runs, json_each(plan, '$.plan.stages') AS stage,
    json_each(stage.value, '$.inputs') AS read
    UNION SELECT run, read.value FROM runs, json_each(plan, '$.plan.on_failure.inputs') AS read
"""
ENVIRONMENTS = """
    SELECT json_extract(stage.value, '$.environment') FROM runs, json_each(plan, '$.plan.stages') AS stage
    UNION SELECT json_extract(plan, '$.plan.on_failure.environment') FROM runs
"""

Made = dict[tuple[str, str], str]
"""Digests by stage and output."""


class Holdings:
    """Those of the history in the file at `path`. Methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, MIGRATIONS)

    def __enter__(self) -> Holdings:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def made(self, pipeline: str | None = None) -> dict[str, Made]:
        """What the runs of a pipeline, or of all, have made, by run."""
        found: dict[str, Made] = defaultdict(dict)
        for run, stage, output, digest in self._database.read(MADE, pipeline, pipeline):
            found[run][stage, output] = digest
        return found

    def read(self) -> dict[str, set[str]]:
        """What runs were given of earlier ones (`--only`, rollback), by run."""
        found: dict[str, set[str]] = defaultdict(set)
        for run, digest in self._database.read(READ):
            found[run].add(digest)
        return found

    def reached(self, *, without: Iterable[str] = ()) -> set[str]:
        """All that runs have made or read and releases serve, as if the runs `without` were gone."""
        gone = frozenset(without)
        found = {digest for run, made in self.made().items() if run not in gone for digest in made.values()}
        found |= {digest for run, read in self.read().items() if run not in gone for digest in read}
        for run, services in self._database.read("SELECT run, services FROM releases"):
            if run not in gone:
                found.update(digest for read in json.loads(services).values() for digest in read.values())
        return found

    def environments(self) -> set[str]:
        """The digests of all environments that runs were planned with."""
        return {digest for (digest,) in self._database.read(ENVIRONMENTS) if digest}

    def forget(self, runs: Iterable[str]) -> None:
        """Delete runs with their events, claims and releases: all of them or, when it fails, none."""
        with self._database.writing() as db:
            for run in runs:
                for table in ("runs", "releases"):
                    db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))

    # What is relied on before it is written down

    def claim(self, run: str, digest: str) -> None:
        with self._database.writing() as db:
            db.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (run, digest))

    def claimed(self, digest: str) -> bool:
        return bool(self._database.read("SELECT 1 FROM claims WHERE digest = ? LIMIT 1", digest))

    def drop_claims(self, pipeline: str) -> None:
        """No run of this pipeline is in progress: what they have made is written down."""
        query = "DELETE FROM claims WHERE run IN (SELECT run FROM runs WHERE pipeline = ?)"
        with self._database.writing() as db:
            db.execute(query, (pipeline,))

    # Stores

    def remember_store(self, address: str) -> None:
        """Something was put there: it is to be looked into even when the runs that did so are forgotten."""
        if address not in self.stores():
            with self._database.writing() as db:
                db.execute("INSERT OR IGNORE INTO stores VALUES (?)", (address,))

    def stores(self) -> list[str]:
        return [address for (address,) in self._database.read("SELECT address FROM stores ORDER BY rowid")]
