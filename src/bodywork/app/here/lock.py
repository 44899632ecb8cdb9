"""One run per pipeline and target at a time: a file lock that names its holder.

The kernel gives the lock back when its holder dies, however it dies; that is also how an
interrupted run is told from one that goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bodywork.errors import BusyError


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a pipeline's lock. `run` is empty and `pid` 0 while that is being written."""

    run: str
    pid: int


@asynccontextmanager
async def hold(path: Path, run: str, *, pipeline: str, wait: bool = False) -> AsyncIterator[None]:
    """Hold the lock of a pipeline for a run.

    With `wait`, waits for the run in progress to end; otherwise raises BusyError that names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # `holder` takes the lock for an instant to see whether it is free: ask more than once.
        for attempt in itertools.count():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt >= 5 and not wait:
                    raise _busy(path, pipeline) from None
                await asyncio.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"run": run, "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Who holds the lock now; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(ValueError, KeyError):
            said = json.loads(os.pread(descriptor, 4096, 0))
            return Holder(run=said["run"], pid=said["pid"])
        return Holder(run="", pid=0)
    finally:
        os.close(descriptor)
    return None


def _busy(path: Path, pipeline: str) -> BusyError:
    who = holder(path)
    named = f"run {who.run} (process {who.pid})" if who and who.run else "another run"
    return BusyError(
        f"pipeline {pipeline} is busy: {named} is in progress",
        hint=f"wait for it with --wait, or stop it: bodywork stop {pipeline}",
    )
