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


def adopt_orphans() -> None:
    """Become the parent of whatever our processes leave behind, also of what left their session.

    Linux only (prctl(2), PR_SET_CHILD_SUBREAPER); elsewhere nothing happens.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def end_orphans(marks: Collection[str]) -> None:
    """End adopted processes whose environment holds all of `marks` (`NAME=value`)."""
    wanted = {mark.encode() for mark in marks}
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in map(int, children.read_bytes().split()):
                if wanted <= set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                    kill_group(pid)
                    with contextlib.suppress(ProcessLookupError, ChildProcessError):
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)


def identity(pid: int) -> str | None:
    """`pid:start time`: names a process for good, however often its pid is used again. None: gone.

    On Linux the time is in clock ticks since boot (proc(5), field 22 of stat), which no change of
    the wall clock moves.
    """
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        state, *fields = stat[stat.rindex(b")") + 2 :].split()
        return None if state in (b"Z", b"X") else f"{pid}:{int(fields[18])}"
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


def end_identity(key: str, *, grace: float = GRACE) -> None:
    """End the group of a process that another command started, if it is still that process.

    TERM, `grace` seconds, KILL; returns when it is gone.
    """
    if not alive(key):
        return
    pid = int(key.partition(":")[0])
    kill_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while alive(key) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_group(pid)
