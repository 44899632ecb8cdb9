"""Processes are started, read and ended, with all that they have started themselves."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from bodywork.process import (
    CommandError,
    Process,
    alive,
    end_identities,
    identity,
    run,
    run_async,
)
from tool import wait_for

ENV = {"PATH": os.environ["PATH"]}


async def printed(process: Process) -> bytes:
    return b"".join([chunk async for chunk in process.chunks()])


def test_a_failed_command_shows_itself_its_code_and_what_it_said() -> None:
    with pytest.raises(CommandError, match=r"`sh -c echo no >&2; exit 4` exited with 4:\nno"):
        run(["sh", "-c", "echo no >&2; exit 4"])


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(CommandError, match="did not end in time"):
        run(["sh", "-c", f"sleep 300 & echo $! > {pid_file}; wait"], timeout=0.5)
    wait_for(lambda: identity(int(pid_file.read_text())) is None)


async def test_an_asynchronous_command_gives_what_it_printed() -> None:
    done = await run_async(["sh", "-c", "echo out; echo err >&2"])
    assert (done.code, done.stdout, done.stderr) == (0, "out\n", "err\n")


async def test_output_comes_in_whole_lines_and_does_not_wait_for_children(tmp_path: Path) -> None:
    process = Process.start(["sh", "-c", "echo a; sleep 300 & printf b; exit 3"], cwd=tmp_path, env=ENV)
    assert await printed(process) == b"a\nb\n"
    exit_ = await process.wait()
    assert (exit_.code, exit_.sentence) == (3, "exited with 3")
    process.end_children()


async def test_a_very_long_line_comes_in_parts(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('x' * 5_000_000)"
    process = Process.start([sys.executable, "-c", code], cwd=tmp_path, env=ENV)
    chunks = [chunk async for chunk in process.chunks()]
    await process.wait()
    assert len(chunks) > 2
    assert sum(map(len, chunks)) == 5_000_001


async def test_ending_escalates_from_term_to_kill(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
    process = Process.start([sys.executable, "-c", code], cwd=tmp_path, env=ENV)
    assert await anext(process.chunks()) == b"up\n"
    exit_ = await process.end(grace=0.2)
    assert exit_.signal == signal.SIGKILL
    assert exit_.sentence == "was killed by SIGKILL"


async def test_a_process_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    process = Process.start(["sleep", "300"], cwd=tmp_path, env=ENV)
    key = identity(process.pid)
    assert key is not None and alive(key)
    assert not alive(f"{process.pid}:1")
    end_identities({f"{process.pid}:1"}, grace=0.1)
    assert process.running
    process_end = process.wait()
    end_identities({key}, grace=0.1)
    assert not (await process_end).ok
    assert not alive(key)
