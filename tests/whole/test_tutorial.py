"""The tutorials, followed to the letter: each command prints what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

import tutorial
from tool import Tool

PAGES = Path(__file__).resolve().parents[2] / "docs" / "tutorial"


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("page", ["first-project.md", "retrain-every-night.md"])
def test_the_tutorial_prints_what_it_says(tool: Tool, page: str) -> None:
    tutorial.check(tool, list(tutorial.steps((PAGES / page).read_text())))
