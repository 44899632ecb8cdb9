"""Short commands: run to their end, and read."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bodywork.process.identity import kill_group


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


@dataclass(frozen=True, kw_only=True)
class CompletedBytes:
    """What a short command gave, byte for byte."""

    code: int
    stdout: bytes
    stderr: bytes


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
    done = run_bytes(command, cwd=cwd, env=env, data=(text or "").encode(), timeout=timeout)
    return _decoded(command, done, check)


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
        stdin=subprocess.PIPE if data else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = child.communicate(data or None, timeout=timeout)
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
    done = CompletedBytes(code=child.returncode or 0, stdout=stdout, stderr=stderr)
    return _decoded(command, done, check)


def _decoded(command: Sequence[str], done: CompletedBytes, check: bool) -> Completed:
    """The same as text, with line ends as Python has them. Raises CommandError."""
    out, err = (data.decode(errors="replace").replace("\r\n", "\n") for data in (done.stdout, done.stderr))
    if check and done.code != 0:
        raise CommandError(command, done.code, err.strip() or out)
    return Completed(code=done.code, stdout=out, stderr=err)
