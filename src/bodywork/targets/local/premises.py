"""What the services of one agent share: home, store, ports in use, and the queue of what has happened."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bodywork.targets.local.hosts import Host, hosts_path, write_hosts
from bodywork.targets.local.pace import Pace
from bodywork.targets.local.record import ServiceStore


def log(message: str) -> None:
    """A line in the agent's log, which is where its stderr goes."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):  # a full disk is no reason to stop serving
        sys.stderr.write(f"{stamp} {message}\n")
        sys.stderr.flush()


class Premises:
    """`ports` are given to replicas; `astray`: who listens at an address that it was not given."""

    def __init__(self, home: Path, store: ServiceStore, pace: Pace) -> None:
        self.home = home
        self.store = store
        self.pace = pace
        self.ports: set[int] = set()
        self.astray: dict[tuple[str, int], str] = {}
        self.queue: asyncio.Queue[Callable[[], object]] = asyncio.Queue()
        self._hosts: dict[str, dict[str, tuple[Host, ...]]] = {}
        self._deeds: set[asyncio.Task[Any]] = set()

    def decide(self, decision: Callable[[], object]) -> None:
        """Queue a decision for the one loop that makes them."""
        self.queue.put_nowait(decision)

    def now(self) -> float:
        """Seconds on a clock that nothing sets back."""
        return asyncio.get_running_loop().time()

    def later(self, seconds: float, decision: Callable[[], object]) -> asyncio.TimerHandle:
        """Queue a decision after a while."""
        return asyncio.get_running_loop().call_later(max(0.0, seconds), self.decide, decision)

    def do(self, deed: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let something happen beside the loop; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(deed)
        self._deeds.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._deeds.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log(f"bug: {type(error).__name__}: {error}")

    def forget_astray(self, replica: str) -> None:
        """A replica has ended: others may listen where it did."""
        for address in [address for address, holder in self.astray.items() if holder == replica]:
            del self.astray[address]

    def publish(self, pipeline: str, stage: str, hosts: tuple[Host, ...]) -> None:
        """Make the names of a service known to the stages of its pipeline; none: forget it."""
        known = self._hosts.setdefault(pipeline, {})
        if known.get(stage, ()) == hosts:
            return
        known[stage] = hosts
        try:
            write_hosts(hosts_path(self.home, pipeline), self.hosts(pipeline))
        except OSError as error:
            log(f"the hosts file of {pipeline} could not be written: {error}")

    def hosts(self, pipeline: str) -> list[Host]:
        """All names of a pipeline's services."""
        return [host for hosts in self._hosts.get(pipeline, {}).values() for host in hosts]
