"""Servers that stand for clouds, which `.ci/emulators` installs: where they are, and how they are started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FOLDER = Path(os.environ.get("BODYWORK_TEST_EMULATORS") or CACHE / "bodywork-emulators")
AZURITE = FOLDER / "azurite" / "node_modules" / ".bin" / "azurite-blob"
FAKE_GCS = FOLDER / "fake-gcs-server"
MADE_WITH = {AZURITE: "npm", FAKE_GCS: "go"}
PATIENCE = 60.0


def needs(*programs: Path) -> pytest.MarkDecorator:
    """Skips without them; but in CI, what can be installed has to be."""
    lacking = [program for program in programs if not program.exists()]
    excused = [one for one in lacking if "CI" not in os.environ or not shutil.which(MADE_WITH[one])]
    names = ", ".join(program.name for program in lacking)
    return pytest.mark.skipif(bool(excused), reason=f"needs {names}, which .ci/emulators installs")


def start(command: Sequence[str | Path], address: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return process
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError(f"{command[0]} did not come up: {log.read_text()}")


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
