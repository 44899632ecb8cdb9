"""The tutorial, followed to the letter: each command prints what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tutorial
from tool import Tool

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-project.md"
HOME = "/home/you"
"""The reader's home folder on the page."""


@pytest.mark.slow
@pytest.mark.network
def test_the_tutorial_prints_what_it_says(tool: Tool) -> None:
    wanted = list(tutorial.steps(PAGE.read_text()))
    printed = follow(tool, wanted)
    commands = [step for step in wanted if isinstance(step, tutorial.Command)]
    assert len(printed) == len(commands)
    for command, output in zip(commands, printed, strict=True):
        promised, found = tutorial.plain(command.output), tutorial.plain(output)
        assert tutorial.agrees(promised, found), (
            f"$ {command.line}\n{output}\nthe page says:\n{command.output}"
        )


def follow(tool: Tool, wanted: list[tutorial.Step]) -> list[str]:
    """Do it all in one shell; what each command has printed."""
    who = {f"GIT_{role}_{what}": "reader" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash"],
        input=tutorial.script(wanted),
        env=tool.env | who | {"PATH": path},
        cwd=tool.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    told = done.stdout.replace(str(tool.home / "state"), f"{HOME}/.local/share/bodywork")
    return told.replace(str(tool.home), HOME).split(f"{tutorial.MARK}\n")[:-1]
