"""Ends the batch stages of a command that is killed with no chance to end them itself.

Run as a program, this file reads from its standard input which processes there are (`+pid:start`)
and which have ended (`-pid:start`). The end of the input is the end of the command: whatever is
left then is ended with its whole group: TERM, 10 s, KILL. Standard library only: it starts at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

GRACE = 10.0


class Tether:
    """The command's side: a process that lives a moment longer than the command."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def hold(self, key: str) -> None:
        """End the process `key` (`process.identity`) and its group should we die."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        self._say(f"+{key}\n")

    def release(self, key: str) -> None:
        """The process has ended."""
        self._say(f"-{key}\n")

    def close(self) -> None:
        """Nothing is held any more."""
        if self._child is not None and self._child.stdin is not None:
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
    state, *fields = stat[stat.rindex(b")") + 2 :].split()
    return state not in (b"Z", b"X") and fields[18].decode() == start


def _exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


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
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(int(key.partition(":")[0]), number)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    held: set[str] = set()
    for line in sys.stdin:
        key = line[1:].strip()
        if line.startswith("+"):
            held.add(key)
        else:
            held.discard(key)
    end({key for key in held if same(key)})


if __name__ == "__main__":
    main()
