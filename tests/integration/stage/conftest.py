"""Environments like those of stages: a venv of another Python, with the hook's line in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import uv

from bodywork.stage.installing import HOOK

STAGE = Path(__file__).parents[3] / "src" / "bodywork" / "stage"
PATIENCE = 60.0
SERVERS = [
    *["flask", "fastapi", "uvicorn[standard]", "gunicorn", "aiohttp", "tornado", "waitress"],
    *["requests", "httpx", "aiodns"],
]


@dataclass(frozen=True)
class Environment:
    """A venv with the hook's line, and what a stage's process sees besides."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def variables(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        path = f"{self.folder / 'bin'}{os.pathsep}{kept.pop('PATH', '')}"
        return {**kept, "PATH": path, "BODYWORK_HOOK": str(STAGE / "hook.py"), **more}

    def run(self, *args: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *args],
            env=self.variables(**variables),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )


def interpreter(version: str) -> str:
    """A Python of that minor version on this machine; skips the test when there is none."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(path) for path in sorted(root.glob(f"{version}.*/bin/python"))]
    found += filter(None, [shutil.which(f"python{version}")])
    for path in found:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([path, "-c", "pass"], check=True, capture_output=True)
            return path
    pytest.skip(f"no Python {version} here")


def make(folder: Path, python: str, packages: Sequence[str] = ()) -> Environment:
    program = uv.find_uv_bin()
    subprocess.run([program, "venv", "-q", "--python", python, str(folder)], check=True)
    environment = Environment(folder)
    if packages:
        command = [program, "pip", "install", "-q", "--python", environment.python, *packages]
        subprocess.run(command, check=True, timeout=600)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "bodywork.pth").write_text(HOOK)
    return environment


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """This Python, without packages."""
    return make(tmp_path_factory.mktemp("bare") / "venv", sys.executable)


@pytest.fixture(scope="session", params=["3.9", "3.12"])
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with web servers and HTTP clients."""
    python = interpreter(request.param)
    return make(tmp_path_factory.mktemp("servers") / "venv", python, SERVERS)


@dataclass
class Processes:
    """Processes started by a test; each in a session of its own, all ended with the test."""

    running: list[subprocess.Popen[bytes]]
    folder: Path

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self.running)}.log").open("wb")
        with log:
            child = subprocess.Popen(
                command,
                env=dict(env),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(child)
        return child

    @property
    def output(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        for child in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes([], tmp_path)
    yield started
    started.end()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports that were free a moment ago, each once."""
    given: set[int] = set()

    def give() -> int:
        while True:
            with socket.socket() as sock:
                sock.bind(("127.0.0.1", 0))
                port = int(sock.getsockname()[1])
            if port not in given:
                given.add(port)
                return port

    return give


def fetch(port: int, host: str = "127.0.0.1") -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{host}:{port}/", timeout=5) as answer:
        return str(answer.read().decode())


def eventually(ask: Callable[[], str], processes: Processes) -> str:
    """The first answer that comes without an error; fails with what the processes printed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except OSError as error:
            if time.monotonic() > deadline:
                pytest.fail(f"no answer: {error}\n{processes.output}")
            time.sleep(0.05)
