"""Starts the agent again when it has died. Run by its path, alone: it imports nothing of bodywork.

    python -I -S watchdog.py FOLDER LOCK_DESCRIPTOR

The agent holds a lock on FOLDER/agent.lock for as long as it lives, and we wait for that lock. When
we get it, the agent is gone: unless it left FOLDER/stopped behind, it is started again with the
command in FOLDER/command, and inherits the very lock that we got. LOCK_DESCRIPTOR is our own lock, on
watchdog.lock, for which the agent waits in the same way.
"""

import fcntl
import os
import signal
import sys
import time

SHORT_LIFE = 10.0
FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0


def main(folder: str) -> None:
    deaths = 0
    while True:
        began = time.monotonic()
        try:
            lock = os.open(os.path.join(folder, "agent.lock"), os.O_RDWR)  # noqa: PTH118
        except OSError:
            return  # the whole home is gone
        fcntl.flock(lock, fcntl.LOCK_EX)
        reap()
        if time.monotonic() - began > SHORT_LIFE:
            deaths = 0
        if over(folder, lock):
            return
        if deaths:
            # Others may start one in the meantime; that is as good.
            os.close(lock)
            time.sleep(min(LONGEST_DELAY, FIRST_DELAY * 2.0**deaths))
            lock = os.open(os.path.join(folder, "agent.lock"), os.O_RDWR)  # noqa: PTH118
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            if over(folder, lock):
                return
        deaths += 1
        start(folder, lock)
        os.close(lock)


def over(folder: str, lock: int) -> bool:
    """Whether the agent has left on purpose, or its home has been removed."""
    try:
        here = os.stat(os.path.join(folder, "agent.lock"))  # noqa: PTH116, PTH118
    except OSError:
        return True
    mine = os.fstat(lock)
    marker = os.path.join(folder, "stopped")  # noqa: PTH118
    return os.path.exists(marker) or (here.st_dev, here.st_ino) != (mine.st_dev, mine.st_ino)  # noqa: PTH110


def start(folder: str, lock: int) -> None:
    with open(os.path.join(folder, "command"), "rb") as file:  # noqa: PTH118, PTH123
        command = file.read().split(b"\0")
    os.set_inheritable(lock, True)
    environment = {**os.environb, b"BODYWORK_AGENT_LOCK": str(lock).encode()}
    sys.stderr.write("watchdog: the agent has died; starting it again\n")
    sys.stderr.flush()
    try:
        os.posix_spawn(
            command[0], command, environment, setpgroup=0, setsigdef=(signal.SIGHUP, signal.SIGINT)
        )
    except OSError as error:
        sys.stderr.write(f"watchdog: the agent cannot be started: {error}\n")


def reap() -> None:
    """Bury agents that were started here."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(int(sys.argv[2]), False)
    main(sys.argv[1])
