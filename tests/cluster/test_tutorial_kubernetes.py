"""The tutorial for Kubernetes, followed to the letter: each command prints what the page says.

Its pipeline has the name that it has on the page, and so has its namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tutorial
from tool import Tool, wait_for

DOCS = Path(__file__).resolve().parents[2] / "docs" / "tutorial"
SETTINGS = ("BODYWORK_IMAGE", "BODYWORK_STORE_IMAGE")


@pytest.fixture
def reader(tool: Tool) -> Iterator[Tool]:
    """Somebody who has the project of the first tutorial, and no pipeline of its name in the cluster."""
    tool.extra |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    folder = tool.home / "flowers"
    folder.mkdir()
    for step in tutorial.steps((DOCS / "first-project.md").read_text()):
        if isinstance(step, tutorial.File):
            (folder / step.name).write_text(step.text)
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Train and serve"]):
        subprocess.run(["git", *arguments], cwd=folder, env=tool.env | tutorial.WHO, check=True)
    remove(tool)
    yield tool
    remove(tool)


def remove(tool: Tool) -> None:
    """Wait for its namespace to be gone, too."""
    tool("delete", "flowers", "--yes", "--target", "kubernetes")
    seen = ["kubectl", "get", "namespace", "flowers", "--ignore-not-found", "--output", "name"]
    wait_for(lambda: not subprocess.run(seen, capture_output=True, check=True).stdout, seconds=120, every=1)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(not os.environ.get("BODYWORK_IMAGE"), reason="no image: set BODYWORK_IMAGE")
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl in PATH")
def test_the_tutorial_prints_what_it_says(reader: Tool) -> None:
    steps = list(tutorial.steps((DOCS / "kubernetes.md").read_text()))
    tutorial.check(reader, steps, timeout=1200)
