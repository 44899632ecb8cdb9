"""The one door to subprocesses: short commands, and stages that run in a session of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

GRACE = 10.0
"""Seconds between TERM and KILL."""

CHUNK = 256 * 1024
LONGEST_LINE = 1024 * 1024


class CommandError(Exception):
    """A command that ended badly: shows the command, its code and what it printed."""

    def __init__(self, command: Sequence[str], code: int | None, output: str) -> None:
        said = output.strip() or "(it printed nothing)"
        ended = "did not end in time" if code is None else f"exited with {code}"
        super().__init__(f"`{' '.join(command)}` {ended}:\n{said}")
        self.command = tuple(command)
        self.code = code
        self.output = output


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What a short command gave."""

    code: int
    stdout: str
    stderr: str


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Completed:
    """Run a short command to its end, in its own session and with nothing to read but `text`.

    `env` is the whole environment (None: ours), `timeout` is in seconds. Raises `CommandError`
    when it takes too long or, if `check`, exits other than with 0; FileNotFoundError when there
    is no such program. All its processes are ended if the wait is interrupted.
    """
    child = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        stdout, stderr = child.communicate(text, timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(child.pid)
        stdout, stderr = child.communicate()
        raise CommandError(command, None, stderr or stdout) from None
    except BaseException:
        kill_group(child.pid)
        child.communicate()
        raise
    if check and child.returncode != 0:
        raise CommandError(command, child.returncode, stderr.strip() or stdout)
    return Completed(code=child.returncode, stdout=stdout, stderr=stderr)


@dataclass(frozen=True, kw_only=True)
class CompletedBytes:
    """What a short command gave, byte for byte."""

    code: int
    stdout: bytes
    stderr: bytes


def run_bytes(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    data: bytes = b"",
    timeout: float | None = None,
) -> CompletedBytes:
    """`run` for contents that need not be text, whatever the exit code.

    Raises `CommandError` when it takes longer than `timeout` seconds, FileNotFoundError when there
    is no such program.
    """
    child = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = child.communicate(data, timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(child.pid)
        stdout, stderr = child.communicate()
        raise CommandError(command, None, (stderr or stdout).decode(errors="replace")) from None
    except BaseException:
        kill_group(child.pid)
        child.communicate()
        raise
    return CompletedBytes(code=child.returncode, stdout=stdout, stderr=stderr)


async def run_async(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Completed:
    """`run` for coroutines; a cancelled wait ends the command and all its processes."""
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await child.communicate()
    except TimeoutError:
        kill_group(child.pid)
        await child.wait()
        raise CommandError(command, None, "") from None
    except BaseException:
        kill_group(child.pid)
        await child.wait()
        raise
    code = child.returncode or 0
    out, err = stdout.decode(errors="replace"), stderr.decode(errors="replace")
    if check and code != 0:
        raise CommandError(command, code, err.strip() or out)
    return Completed(code=code, stdout=out, stderr=err)


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
        output: IO[bytes] | int | None = None,
    ) -> Process:
        """Start `command` with nothing to read.

        Its stdout and stderr go together to `output`, or, if that is None, to `chunks()`.
        Raises OSError when it cannot be started. Needs a running event loop.
        """
        reader, writer = os.pipe() if output is None else (None, None)
        try:
            child = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
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

    async def chunks(self) -> AsyncIterator[bytes]:
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
