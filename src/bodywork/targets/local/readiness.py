"""Watching whether a replica answers, and finding it where it should not be.

A replica should listen at the port it was given (the hook sees to it, or the program reads `$PORT`).
One that does not is looked for among the sockets of its processes: the declared port counts at
once; any other only if it is the only one and stays so, and the given port wins when it opens
later (programs open side ports, for metrics, before their own).

As with a readiness probe of Kubernetes, failures take a replica out of rotation and nothing more;
only the end of its process starts it again. Without a health path, a replica that is ready is left
in peace: connections fill the queue of a busy server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from bodywork.targets.local.address import LOCALHOST
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.listening import reachable, sockets_of
from bodywork.targets.local.premises import Premises
from bodywork.targets.local.probe import Answer, probe

NOWHERE = Answer(ok=False, connected=False, reason="it listens on no port")


class Watched(Protocol):
    """What is read and written of a replica."""

    definition: Definition
    port: int
    answers: tuple[str, int]
    reason: str
    name: str

    @property
    def pid(self) -> int | None: ...


class Readiness:
    """Probes one process of a replica. `found` is called with (ok, reason) when that changes."""

    def __init__(self, replica: Watched, premises: Premises, found: Callable[[bool, str], object]) -> None:
        self._replica = replica
        self._premises = premises
        self._pace = premises.pace
        self._found = found
        self._wake = asyncio.Event()
        self._ok = False
        self._bad = 0
        self._began = self._looked = asyncio.get_running_loop().time()
        self._lone: tuple[tuple[str, int], float] | None = None

    def check(self) -> None:
        """Probe now."""
        self._wake.set()

    async def watch(self) -> None:
        """Probe for ever."""
        interval = self._pace.probe_first
        while True:
            before = self._replica.answers
            answer = await self._probe()
            self._judge(answer, moved=before != self._replica.answers)
            if self._ok and not self._bad:
                interval = self._pace.probe_well
            elif self._ok or asyncio.get_running_loop().time() - self._began > self._pace.elsewhere:
                interval = self._pace.probe_later
            else:
                interval = self._pace.probe_first
            await self._pause(interval)

    def _judge(self, answer: Answer, *, moved: bool) -> None:
        if answer.ok:
            self._bad = 0
            if not self._ok or moved:
                self._ok = True
                self._found(True, "")
            return
        self._bad += 1
        if not self._ok:
            self._replica.reason = answer.reason
        elif self._bad >= self._pace.failures:
            self._ok = False
            self._found(False, answer.reason)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
            await asyncio.sleep(self._pace.probe_first)
        except TimeoutError:
            pass
        self._wake.clear()

    async def _probe(self) -> Answer:
        own = (LOCALHOST, self._replica.port)
        answer = await self._ask(own)
        if answer.connected or (self._replica.answers == own and self._ok):
            self._replica.answers = own
            return answer
        if self._replica.answers != own:
            elsewhere = await self._ask(self._replica.answers)
            if elsewhere.connected:
                return elsewhere
        now = asyncio.get_running_loop().time()
        if now - self._looked < self._pace.look:
            return Answer(ok=False, connected=False, reason=self._replica.reason or NOWHERE.reason)
        self._looked = now
        return await self._look(now)

    async def _ask(self, address: tuple[str, int]) -> Answer:
        d = self._replica.definition
        return await probe(*address, path=d.health, declared=d.port, timeout=self._pace.probe_timeout)

    async def _look(self, now: float) -> Answer:
        """Look for it among the sockets of its processes."""
        pid = self._replica.pid
        sockets = await asyncio.to_thread(sockets_of, pid) if pid is not None else []
        if not sockets:
            return NOWHERE
        declared = self._replica.definition.port
        told = " and ".join(f"{host}:{port}" for host, port in sockets)
        strayed = Answer(
            ok=False,
            connected=False,
            reason=f"it listens on {told} instead of the declared {declared} (or $PORT)",
        )
        address = self._choose(sockets, now)
        if address is None:
            return strayed
        holder = self._premises.astray.setdefault(address, self._replica.name)
        if holder != self._replica.name:
            return Answer(ok=False, connected=True, reason=f"it listens on {told}, as replica {holder} does")
        self._replica.answers = address
        answer = await self._ask(address)
        return answer if answer.connected else strayed

    def _choose(self, sockets: list[tuple[str, int]], now: float) -> tuple[str, int] | None:
        here = [(near, port) for host, port in sockets if (near := reachable(host)) is not None]
        for address in here:
            if address[1] == self._replica.definition.port:
                return address
        if len(here) != 1:
            self._lone = None
            return None
        if self._lone is None or self._lone[0] != here[0]:
            self._lone = (here[0], now)
        return here[0] if now - self._lone[1] >= self._pace.elsewhere else None
