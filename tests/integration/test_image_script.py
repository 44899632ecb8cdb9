"""`scripts/image` says what is wrong in a sentence, with a next step, and builds what the lock names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "image"


def image(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_explains_itself() -> None:
    done = image("--help")
    assert done.returncode == 0
    assert "--archive FILE" in done.stdout and "--python VERSION" in done.stdout


def test_a_machine_without_a_builder_is_told_what_to_install(tmp_path: Path) -> None:
    done = image("localhost/bodywork:test", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("error: no buildah or docker on PATH\nhint: install one")


def test_an_archive_goes_into_a_folder_that_is_there(tmp_path: Path) -> None:
    if not (shutil.which("buildah") or shutil.which("docker")):
        pytest.skip("no buildah or docker here")
    done = image("localhost/bodywork:test", "--archive", str(tmp_path / "absent" / "image.tar"))
    assert done.returncode == 1
    assert f"the folder {tmp_path / 'absent'} of the archive is not there" in done.stderr


def test_a_base_that_cannot_be_had_is_named() -> None:
    if not shutil.which("buildah"):
        pytest.skip("no buildah here")
    done = image("localhost/bodywork:test", "--base", "localhost/no-such-image:1", "--builder", "buildah")
    assert done.returncode == 1
    assert "hint: is there an image localhost/no-such-image:1, with Python 3.8 or newer" in done.stderr
