"""One agent for a home, and somebody to start it again: two locks, and a process behind each.

The agent holds agent.lock while it lives, the watchdog watchdog.lock; each waits for the lock of the
other, and whoever gets it knows that the other has died and starts it anew, handing over the lock
with the start, so that there is no moment in between. The system lets go of the locks of a process
that is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
import time
from pathlib import Path

from bodywork.process import start_detached
from bodywork.targets.local.protocol import agent_folder, make_folder, stopped_marker

HANDED = "BODYWORK_AGENT_LOCK"
WATCHDOG = Path(__file__).with_name("watchdog.py")
FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
SHORT_LIFE = 10.0


class Guard:
    """The agent's hold on its home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = make_folder(agent_folder(home))
        self._lock: int | None = None
        self._started: int | None = None

    def enter(self) -> bool:
        """Become the one agent; False: there is one."""
        handed = os.environ.pop(HANDED, "")
        path = self._folder / "agent.lock"
        self._lock = _handed_over(handed, path) if handed else take_lock(path)
        if self._lock is None:
            return False
        os.set_inheritable(self._lock, False)
        command = [sys.executable, *sys.orig_argv[1:]]
        (self._folder / "command").write_bytes(b"\0".join(os.fsencode(word) for word in command))
        stopped_marker(self._home).unlink(missing_ok=True)
        return True

    def watch(self) -> None:
        """Keep a watchdog running, from a thread."""
        threading.Thread(target=self._keep_watchdog, daemon=True, name="watchdog").start()

    def mark_stopped(self) -> None:
        """We leave on purpose: do not start us again."""
        with contextlib.suppress(OSError):
            stopped_marker(self._home).touch()

    def leave(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def still_ours(self) -> bool:
        """Whether the home is there and the lock on it ours."""
        try:
            return self._lock is not None and os.path.samestat(
                os.fstat(self._lock), (self._folder / "agent.lock").stat()
            )
        except OSError:
            return False

    def watchdog_pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / "watchdog.pid").read_text())
        return None

    def _keep_watchdog(self) -> None:
        deaths = 0
        while self._lock is not None:
            began = time.monotonic()
            try:
                lock = os.open(self._folder / "watchdog.lock", os.O_RDWR | os.O_CREAT, 0o600)
            except OSError:
                return
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._started is not None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self._started, 0)  # it has let go of its lock: it has ended
                self._started = None
            if self._lock is None or stopped_marker(self._home).exists():
                os.close(lock)
                return
            deaths = 0 if time.monotonic() - began > SHORT_LIFE else deaths + 1
            if deaths > 1:
                time.sleep(min(LONGEST_DELAY, FIRST_DELAY * 2.0**deaths))
            with contextlib.suppress(OSError):
                self._start_watchdog(lock)
            os.close(lock)

    def _start_watchdog(self, lock: int) -> None:
        command = [sys.executable, "-I", "-S", str(WATCHDOG), str(self._folder), str(lock)]
        pid = start_detached(command, cwd=Path("/"), env=os.environ, output=2, descriptors=(lock,))
        self._started = pid
        fresh = self._folder / "watchdog.pid.new"
        fresh.write_text(str(pid))
        fresh.replace(self._folder / "watchdog.pid")


def take_lock(path: Path) -> int | None:
    """A descriptor that holds the lock of `path`; None: another one does."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _handed_over(number: str, path: Path) -> int | None:
    """The lock that whoever started us holds for us."""
    with contextlib.suppress(OSError, ValueError):
        lock = int(number)
        if os.path.samestat(os.fstat(lock), path.stat()):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
    return take_lock(path)
