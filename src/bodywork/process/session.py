"""Processes that run in a session of their own, so that all they start can be ended with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bodywork.process.identity import GRACE, kill_group

CHUNK = 256 * 1024
LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended: its code, or the signal that ended it.

    `peak_memory` is in bytes; None when it is not known to have needed more than we do ourselves:
    a new process starts with its parent's count (getrusage(2), ru_maxrss, is kept over an exec).
    """

    code: int | None
    signal: int | None
    peak_memory: int | None
    cpu_seconds: float

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def sentence(self) -> str:
        """`exited with 3`, `was killed by SIGKILL`."""
        if self.signal is not None:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(self.signal).name}"
            return f"was killed by signal {self.signal}"
        return f"exited with {self.code}"


class Process:
    """A process in a session of its own, so that all it starts can be ended with it."""

    def __init__(self, child: subprocess.Popen[bytes], pipe: int | None) -> None:
        self._child = child
        self._pipe = pipe
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._watch()

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        input: int | None = None,
        output: IO[bytes] | int | None = None,
    ) -> Process:
        """Start `command`, which reads from the descriptor `input` (None: nothing).

        Its stdout and stderr go together to `output`, or, if that is None, to `chunks()`.
        Raises OSError when it cannot be started. Needs a running event loop.
        """
        reader, writer = os.pipe() if output is None else (None, None)
        try:
            child = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL if input is None else input,
                stdout=output if writer is None else writer,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            if reader is not None:
                os.close(reader)
            raise
        finally:
            if writer is not None:
                os.close(writer)
        return cls(child, reader)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return not self._exit.done()

    async def wait(self) -> Exit:
        """How it ended. May be awaited any number of times."""
        return await asyncio.shield(self._exit)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """What it prints as it appears, in pieces of whole lines; ends when the process has ended.

        A line longer than `LONGEST_LINE` bytes comes in parts. Output of children that outlive
        the process is not waited for.
        """
        if self._pipe is None:
            return
        rest = b""
        try:
            os.set_blocking(self._pipe, False)
            while True:
                data = await self._read(self._pipe)
                if not data:
                    break
                rest += data
                cut = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
                if not cut and len(rest) > LONGEST_LINE:
                    cut = len(rest)
                if cut:
                    yield rest[:cut]
                    rest = rest[cut:]
            if rest:
                yield rest + b"\n"
        finally:
            os.close(self._pipe)
            self._pipe = None

    async def _read(self, pipe: int) -> bytes:
        """The next bytes; empty at the end of the output or of the process."""
        try:
            return os.read(pipe, CHUNK)
        except BlockingIOError:
            if not self.running:
                return b""
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not readable.done():
                readable.set_result(None)

        loop.add_reader(pipe, wake)
        try:
            either: set[asyncio.Future[Any]] = {readable, self._exit}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(pipe)
        try:
            return os.read(pipe, CHUNK)
        except BlockingIOError:
            return b"" if not self.running else await self._read(pipe)

    async def end(self, grace: float = GRACE) -> Exit:
        """End it and all its processes: TERM, `grace` seconds, KILL."""
        kill_group(self.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                exit_ = await self.wait()
        except TimeoutError:
            kill_group(self.pid)
            exit_ = await self.wait()
        self.end_children()
        return exit_

    def end_children(self) -> None:
        """End what it has left behind after its own end."""
        kill_group(self.pid)

    def _watch(self) -> None:
        """Learn of the end: by a pidfd where there are such, else in a thread."""
        loop = asyncio.get_running_loop()
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(self.pid)
                loop.add_reader(pidfd, self._reap, pidfd)
                return
        threading.Thread(target=self._reap_in_thread, args=(loop,), daemon=True).start()

    def _reap(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        self._done(*os.wait4(self.pid, 0)[1:])

    def _reap_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        _, status, usage = os.wait4(self.pid, 0)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._done, status, usage)

    def _done(self, status: int, usage: object) -> None:
        code = os.waitstatus_to_exitcode(status)
        self._child.returncode = code
        scale = 1 if sys.platform == "darwin" else 1024
        peak = int(getattr(usage, "ru_maxrss", 0))
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if not self._exit.done():
            self._exit.set_result(
                Exit(
                    code=code if code >= 0 else None,
                    signal=-code if code < 0 else None,
                    peak_memory=peak * scale if peak > ours else None,
                    cpu_seconds=round(getattr(usage, "ru_utime", 0.0) + getattr(usage, "ru_stime", 0.0), 3),
                )
            )


def start_detached(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: IO[bytes] | int,
    descriptors: Sequence[int] = (),
) -> int:
    """Start a process that outlives us, in its own session, and return its pid; nobody waits for it.

    `descriptors` are open in it under their numbers. Raises OSError when it cannot be started.
    """
    child = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(descriptors),
    )
    child.returncode = 0  # how it ends is not our business: no warning that it still runs
    return child.pid
