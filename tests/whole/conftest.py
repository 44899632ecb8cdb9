"""Projects as people have them, in tests/data/projects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from places import Local, Place
from tool import DATE, Repository, Tool

PROJECTS = Path(__file__).resolve().parent.parent / "data" / "projects"


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Repository]:
    """Makes a repository of one of the projects, committed at a date.

    `replaced` are words of its bodywork.yaml that are only known here.
    """

    def make(name: str, *, date: str = DATE, **replaced: str) -> Repository:
        root, path = PROJECTS / name, tmp_path / name
        path.mkdir()
        made = Repository(path)
        made.git("init", "--quiet", "--initial-branch", "main")
        files = {
            file.relative_to(root).as_posix(): file.read_bytes()
            for file in root.rglob("*")
            if file.is_file() and "__pycache__" not in file.parts
        }
        for word, value in replaced.items():
            files["bodywork.yaml"] = files["bodywork.yaml"].replace(word.encode(), value.encode())
        made.commit(files, date=date)
        return made

    return make


@pytest.fixture
def secret(tool: Tool) -> Callable[[str, str], None]:
    """Writes a value to its file `[GROUP/]SECRET/KEY`, for its owner alone."""

    def write(name: str, value: str) -> None:
        file = tool.home / "state" / "secrets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(value)

    return write


@pytest.fixture(params=["local", pytest.param("kubernetes", marks=pytest.mark.cluster)])
def place(request: pytest.FixtureRequest, tool: Tool) -> Iterator[Place]:
    """Each target in turn."""
    if request.param == "local":
        yield Local(tool=tool)
    else:
        yield request.getfixturevalue("cluster")
