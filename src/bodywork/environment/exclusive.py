"""Work that is done once, however many coroutines and processes ask for it at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bodywork.errors import MachineError

FIRST_LOOK = 0.01
LONGEST_WAIT = 0.1


class Turns:
    """One turn at a time for each name: a lock in this process, then a file lock between processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for the turn of `name` and keep it."""
        async with self._locks.setdefault(name, asyncio.Lock()), exclusive(self.file(name)):
            yield

    def file(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


@contextlib.asynccontextmanager
async def exclusive(path: Path) -> AsyncIterator[None]:
    """Hold the file lock `path`.

    It is asked for again and again rather than waited for in a thread: a thread that waits for
    another process cannot be cancelled and would keep a command that was told to stop from ending.
    """
    with on_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        delay = FIRST_LOOK
        while not take(handle):
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, LONGEST_WAIT)
        yield
    finally:
        os.close(handle)


def take(handle: int) -> bool:
    """Take the lock of an open file, if nobody has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Tell in a sentence why files cannot be written in `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(folder) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise MachineError(
                f"cannot write in {folder}: {error.strerror}",
                hint="make it writable, or name other folders with BODYWORK_HOME and XDG_CACHE_HOME",
            ) from error
        raise


def full_disk(folder: Path) -> MachineError:
    """The sentence for a full disk, with what is free where `folder` is."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free / 1e6
    return MachineError(
        f"the disk is full: {free:.0f} MB are free where {folder} is, too few for the packages",
        hint="make room, or name a folder on another disk with XDG_CACHE_HOME and UV_CACHE_DIR",
    )
