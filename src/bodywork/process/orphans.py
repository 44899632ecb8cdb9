"""What stages leave behind: processes that outlive the one that was started, also outside of its session.

They are known by their environment, which they inherit unless they take care not to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path

from bodywork.process.identity import identity, kill_group, stat_of

ROUNDS = 10


def adopt_orphans() -> None:
    """Become the parent of whatever our processes leave behind, also of what left their session.

    Linux only (prctl(2), PR_SET_CHILD_SUBREAPER); elsewhere nothing happens.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def end_orphans(marks: Collection[str], session: int) -> None:
    """End adopted processes whose environment holds all of `marks` (`NAME=value`).

    Those of `session` that have ended already are buried as well, but for its leader. The system's
    list of children may lack some while others end: it is read until there are none of them.
    """
    wanted = {mark.encode() for mark in marks}
    for _ in range(ROUNDS):
        ended = [pid for pid in _children() if _end_orphan(pid, wanted, session)]
        if not ended:
            return


def marked(marks: Collection[str], *, without: str) -> set[str]:
    """Identities of all processes whose environment has `marks` (`NAME=value`) and no variable `without`.

    Looks through /proc; elsewhere nothing is found.
    """
    wanted, unwanted, found = {mark.encode() for mark in marks}, f"{without}=".encode(), set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            its = _environment(int(entry.name))
            if its.issuperset(wanted) and not any(one.startswith(unwanted) for one in its):
                found.add(identity(int(entry.name)) or "")
    return found - {"", identity(os.getpid())}


def _children() -> list[int]:
    found: list[int] = []
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, children.read_bytes().split())
    return found


def _end_orphan(pid: int, wanted: Collection[bytes], session: int) -> bool:
    with contextlib.suppress(OSError):
        state, _, _, its_session = stat_of(pid)[:4]
        if state in (b"Z", b"X"):
            others = pid != session and int(its_session) == session
            return others and os.waitpid(pid, os.WNOHANG) != (0, 0)
        if _environment(pid).issuperset(wanted):
            kill_group(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True
    return False


def _environment(pid: int) -> set[bytes]:
    return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
