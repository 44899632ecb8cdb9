"""What somebody at a terminal sees: questions, colours, and the next step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tool import Tool

COLOUR = re.compile(r"\x1b\[(3|9)\d")


def at_a_terminal(tool: Tool, *arguments: str, typed: str = "", **env: str) -> tuple[int, str]:
    """A command on a terminal of its own: its exit code, and all that the terminal showed."""
    ours, its = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "bodywork", *arguments],
            env=tool.env | env,
            cwd=tool.home,
            stdin=its,
            stdout=its,
            stderr=its,
        ) as child:
            os.close(its)
            os.write(ours, typed.encode())
            shown = b""
            while True:
                try:
                    some = os.read(ours, 65536)
                except OSError:  # how Linux says that the last writer has gone
                    break
                if not some:
                    break
                shown += some
        return child.returncode, shown.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)


@pytest.mark.parametrize("arguments", [("doctor",), ("status", "nothing-there")])
def test_no_color_turns_colours_off(tool: Tool, arguments: tuple[str, ...]) -> None:
    _, coloured = at_a_terminal(tool, *arguments, NO_COLOR="")
    assert COLOUR.search(coloured)
    _, plain = at_a_terminal(tool, *arguments, NO_COLOR="1")
    assert not COLOUR.search(plain)


def test_no_as_an_answer_to_init_writes_nothing_and_is_no_interruption(tool: Tool) -> None:
    folder = tool.home / "flowers"
    folder.mkdir()
    code, shown = at_a_terminal(tool, "init", "flowers", typed="n\n")
    assert code == 2
    assert "error: nothing was written" in shown.replace("\x1b[0m", "").replace("\x1b[31m\x1b[1m", "")
    assert "interrupted" not in shown
    assert list(folder.iterdir()) == []


def test_init_outside_of_a_repository_says_how_to_make_one(tool: Tool) -> None:
    folder = tool.home / "flowers"
    folder.mkdir()
    assert "git init flowers" in tool.good("init", "flowers").err
    (folder / "bodywork.yaml").unlink()
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    assert "git init" not in tool.good("init", "flowers").err
    (folder / "models").mkdir()
    assert "git init" not in tool.good("init", "flowers/models").err


def test_a_place_that_is_not_there_is_not_to_be_made_a_project(tool: Tool) -> None:
    answer = tool("validate", str(Path("/not-here/project")))
    assert answer.code == 2
    assert "there is no file or folder /not-here/project" in answer.err
    assert "init" not in answer.err
    assert "hint: write one with: bodywork init" in tool("validate", "./bodywork.yaml").err
