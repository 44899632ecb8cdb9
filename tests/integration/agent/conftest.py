"""An agent of its own for each test, ended with all its processes when the test is over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bodywork.process import identity
from bodywork.targets.base import Ended, Sign
from bodywork.targets.local.client import AgentClient
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.protocol import ServiceStatus

HERE = Path(__file__).parent
BASE_PORT = 23500


@dataclass(frozen=True)
class Request:
    """One request of a client: when (time.monotonic()), what came back, and over what kind of connection."""

    asked: float
    answered: float
    answer: str | None
    error: str | None
    kind: str

    @property
    def release(self) -> str:
        return (self.answer or "").partition(" ")[0]


@dataclass
class Place:
    """A home, the client of its agent, and what the tests do with them all the time."""

    home: Path
    client: AgentClient
    definition: Definition

    def release(self, release: str, **changes: Any) -> Definition:
        variables = {**self.definition.variables, **changes.pop("variables", {})}
        return replace(self.definition, release=release, variables=variables, **changes)

    async def rollout(self, definition: Definition) -> Ended:
        return (await self.signs(definition))[-1]  # type: ignore[return-value]

    async def signs(self, definition: Definition) -> list[Sign]:
        async with asyncio.timeout(30):
            return [sign async for sign in self.client.rollout(definition)]

    async def service(self, stage: str = "serve") -> ServiceStatus:
        return next(s for s in await self.client.services() if s.definition.stage == stage)

    async def pids(self) -> list[int]:
        return [replica.pid for replica in (await self.service()).replicas if replica.pid]

    async def get(self, url: str, path: str = "/") -> str:
        return await asyncio.to_thread(fetch, url + path)

    @staticmethod
    async def until(condition: Callable[[], Any], *, seconds: float = 15.0) -> Any:
        """Wait until `condition`, which may be a coroutine function, gives something true."""
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            assert time.monotonic() < deadline, f"not within {seconds} s"
            await asyncio.sleep(0.02)

    def processes(self) -> list[int]:
        return processes_of(self.home)

    async def load(self, url: str, seconds: float, path: str = "/") -> list[Request]:
        """What clients get that ask all the time, over new connections and kept-alive ones."""
        command = [sys.executable, str(HERE / "load.py"), url, str(seconds), path]
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        stdout, _ = await child.communicate()
        return [Request(*request) for request in json.loads(stdout)]

    def pace(self, **seconds: float) -> None:
        """Must be called before the agent starts."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "pace.json").write_text(json.dumps(seconds))


def fetch(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as answer:
        return str(answer.read().decode())


def processes_of(home: Path) -> list[int]:
    """All processes that carry this home in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(home).encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid() and identity(pid)]


def left_behind(home: Path) -> list[int]:
    """What does not end by itself: a watchdog learns of its agent's leaving a moment after it."""
    deadline = time.monotonic() + 5
    while (left := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    home, folder = tmp_path / "home", tmp_path / "project"
    folder.mkdir()
    (folder / "server.py").write_text((HERE / "server.py").read_text())
    definition = Definition(
        pipeline="iris",
        stage="serve",
        release="run-1",
        commit="0" * 40,
        fingerprint="f",
        command=(sys.executable, "server.py"),
        folder=str(folder),
        port=BASE_PORT,
        variables={"PATH": os.environ["PATH"]},
        host_names=("serve", "iris--serve"),
    )
    client = AgentClient(home, command=[sys.executable, str(HERE / "agent_process.py")])
    made = Place(home=home, client=client, definition=definition)
    yield made
    await client.stop()
    left = left_behind(home)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    log = home / "agent" / "agent.log"
    said = log.read_text() if log.exists() else ""
    assert not left, f"left behind: {left}\n{said}"
    assert "bug:" not in said and "Traceback" not in said, said
