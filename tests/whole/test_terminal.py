"""What somebody at a terminal sees: questions, colours, and the next step."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from terminal import at_a_terminal
from tool import Tool

COLOUR = re.compile(r"\x1b\[(3|9)\d")


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
