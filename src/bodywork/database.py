"""An SQLite file that many processes use at the same time: commands, the agent, twenty deploys at once.

It is in WAL mode; a writer takes its lock at once (BEGIN IMMEDIATE) and waits for others; the file
is made, or brought to the newest schema, under a file lock. A write costs no fsync
(synchronous=NORMAL): a power cut may lose the last ones, never the file. What goes wrong is a
MachineError with the next step.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bodywork.errors import MachineError, UsageError

PATIENCE = 30.0
"""Seconds to wait for another process that writes."""


class Database:
    """The file at `path`, made when it is not there. Methods may be called from any thread.

    `migrations` are scripts: each makes schema N+1 out of schema N. All methods raise MachineError
    when the file cannot be used, UsageError when a newer bodywork has written it, and let
    sqlite3.IntegrityError through. `durable`: each write costs an fsync, and outlasts a power cut.
    """

    def __init__(self, path: Path, migrations: Sequence[str], *, durable: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._mapped():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _file_lock(path):
                _make(path)
                self._connection = _open(path, migrations)
                if durable:
                    self._connection.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def read(self, query: str, *values: object) -> list[Any]:
        """All rows that a query gives."""
        with self._lock, self._mapped():
            return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is done inside counts, or, after an exception, nothing."""
        with self._lock, self._mapped():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except (sqlite3.Error, OSError) as error:
            raise _in_words(self._path, error) from error


def _make(path: Path) -> None:
    """An empty file for us alone, if there is none.

    One that is there is not even opened: to close it would let go of the locks that another connection
    of this process has on it (fcntl(2)), and other processes would take away the log under its feet.
    """
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _open(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """A connection to a file of the newest schema. To be called under the file lock."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise UsageError(
            f"{path} was written by a newer version of bodywork"
            f" (schema {version}; this version knows {len(migrations)})",
            hint="install that version, or set BODYWORK_HOME to another folder",
        )
    for number, script in enumerate(migrations[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Hold `<path>.lock`, so that one process at a time makes or changes the schema."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def _in_words(path: Path, error: sqlite3.Error | OSError) -> MachineError:
    """What is wrong with the file, and what helps."""
    what, hint = f"{error}", "is something wrong with the disk? `bodywork doctor` looks"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    number = error.errno if isinstance(error, OSError) else 0
    if code == sqlite3.SQLITE_FULL or number in (errno.ENOSPC, errno.EDQUOT):
        what, hint = "the disk is full", "free some space and try again"
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or number == errno.EWOULDBLOCK:
        what = f"another process has kept it locked for {PATIENCE:.0f} s"
        hint = "wait for the other command, or end it if it hangs"
    elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        what = "it is damaged, or no database at all"
        hint = f"move it away to begin a new history: mv {path} {path}.damaged"
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN) or number in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
    ):
        what = "it cannot be written"
        hint = "make its folder writable, or set BODYWORK_HOME to one that is"
    elif number:
        what = os.strerror(number)
        hint = "set BODYWORK_HOME to a folder that can be used"
    return MachineError(f"the history in {path} cannot be used: {what}", hint=hint)
