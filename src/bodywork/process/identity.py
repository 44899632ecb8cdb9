"""Which process is which, and ending it: also when another command started it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

GRACE = 10.0
"""Seconds between TERM and KILL."""


def kill_group(pid: int, with_signal: int = signal.SIGKILL) -> None:
    """Send a signal to the whole group of `pid`; nothing happens when there is none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, with_signal)


def identity(pid: int) -> str | None:
    """`pid:start time`: names a process for good, however often its pid is used again. None: gone.

    On Linux the time is in clock ticks since boot (proc(5), field 22 of stat), which no change of
    the wall clock moves.
    """
    if sys.platform == "linux":
        try:
            fields = stat_of(pid)
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else f"{pid}:{int(fields[19])}"
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{pid}:{process.create_time():.2f}"
    except psutil.Error:
        return None


def alive(key: str) -> bool:
    """Whether the process that `identity` named still runs."""
    pid = key.partition(":")[0]
    return pid.isdigit() and identity(int(pid)) == key


def stat_of(pid: int) -> list[bytes]:
    """Fields of /proc/PID/stat (proc(5)) from the third on: state, parent, group, session ..."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()


def end_identities(keys: Collection[str], *, grace: float = GRACE) -> None:
    """End processes that another command started, if they are still those, each with its group.

    TERM, `grace` seconds, KILL; returns when they are gone.
    """
    running = [key for key in keys if alive(key)]
    for key in running:
        _signal(key, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(map(alive, running)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for key in running:
        _signal(key, signal.SIGKILL)


def _signal(key: str, number: int) -> None:
    pid = int(key.partition(":")[0])
    kill_group(pid, number)  # the group may outlive its leader
    if alive(key):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)  # and not every process leads one
