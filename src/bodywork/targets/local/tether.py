"""Ends the batch stages of a command that is killed with no chance to end them itself.

Run as a program, this file reads from its standard input which processes there are (`+pid:start`)
and which have ended (`-pid:start`), up to a lone `.`, with which the command dismisses it. An end
of the input without that is the end of the command: whatever is left then is ended with its whole
group: TERM, 10 s, KILL. So is what carries the command's mark in its environment: a stage that was
started in the very moment of the kill, and what left its group. Standard library only: it starts
at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

MARK = "BODYWORK_COMMAND"
GRACE = 10.0
DONE = ".\n"
LAUNCH = 0.1
"""Seconds that a stage which is being started may take to be recognized."""


class Tether:
    """The command's side: a process that lives a moment longer than the command."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._mark = f"{os.getpid()}-{time.time_ns()}"

    @property
    def variables(self) -> dict[str, str]:
        """The mark, for the environment of stages."""
        return {MARK: self._mark}

    def open(self) -> None:
        """From now on, should we die, all processes are ended that carry the mark."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, self._mark],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )

    def hold(self, key: str) -> None:
        """End the process `key` (`process.identity`) and its group should we die."""
        self._say(f"+{key}\n")

    def release(self, key: str) -> None:
        """The process has ended."""
        self._say(f"-{key}\n")

    def close(self) -> None:
        """Nothing is held any more."""
        if self._child is not None and self._child.stdin is not None:
            self._say(DONE)
            self._child.stdin.close()
            self._child.wait()
            self._child = None

    def _say(self, line: str) -> None:
        # Without its other side there is nothing to hold with; stages run all the same.
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.write(line.encode())
                self._child.stdin.flush()


def same(key: str) -> bool:
    """Whether a process is still the one that `key` names, as far as this system tells."""
    pid, _, start = key.partition(":")
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (pathlib takes longer to import)
            stat = file.read()
    except OSError:
        return not os.path.isdir("/proc/self") and _exists(int(pid))  # noqa: PTH112
    fields = _fields(stat)
    return fields[0] not in (b"Z", b"X") and fields[19].decode() == start


def _fields(stat: bytes) -> list[bytes]:
    """From the third on, the state (proc(5))."""
    return stat[stat.rindex(b")") + 2 :].split()


def _exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def marked(mark: str) -> set[str]:
    """The processes that carry `mark`, as far as this system tells."""
    found, wanted = set(), f"{MARK}={mark}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():  # noqa: PTH112, PTH208
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                its = file.read().split(b"\0")
            if name.isdigit() and wanted in its:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    found.add(f"{name}:{_fields(file.read())[19].decode()}")
    return found


def end(keys: set[str]) -> None:
    """TERM to the groups of all of them, KILL to those that are left after the grace."""
    deadline = time.monotonic() + GRACE
    for key in keys:
        _signal(key, signal.SIGTERM)
    while any(map(same, keys)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for key in keys:
        _signal(key, signal.SIGKILL)


def _signal(key: str, number: int) -> None:
    # The group may outlive its leader, whose number nobody gets while the group is there.
    pid = int(key.partition(":")[0])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if same(key):
            os.kill(pid, number)  # not every process leads a group


def main(mark: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    held: set[str] = set()
    for line in sys.stdin:
        key = line[1:].strip()
        if line == DONE:
            return
        if line.startswith("+"):
            held.add(key)
        else:
            held.discard(key)
    found = {key for key in held if same(key)} | marked(mark)
    for key in found:
        _signal(key, signal.SIGTERM)
    time.sleep(LAUNCH)
    end(found | marked(mark))


if __name__ == "__main__":
    main(sys.argv[1])
