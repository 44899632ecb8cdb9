"""The tutorial, followed to the letter: each command prints what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

import tutorial
from tool import Tool

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-project.md"


@pytest.mark.slow
@pytest.mark.network
def test_the_tutorial_prints_what_it_says(tool: Tool) -> None:
    tutorial.check(tool, list(tutorial.steps(PAGE.read_text())))
