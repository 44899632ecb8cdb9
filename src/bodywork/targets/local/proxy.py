"""The layer-4 proxy of one service: takes its connections and gives them to ready replicas.

New connections go to the replica with the fewest. A replica that cannot be reached is passed over before
a byte has gone; with none ready, connections wait a few seconds (a restart, a start of the agent).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable

from bodywork.targets.local.address import BACKLOG, Place
from bodywork.targets.local.backend import Backend
from bodywork.targets.local.pace import Pace
from bodywork.targets.local.relay import Back, Front


class Proxy:
    """Listens for one service. `unreachable` is told of replicas that refuse connections."""

    def __init__(self, place: Place, pace: Pace, unreachable: Callable[[Backend], object]) -> None:
        self.place = place
        self.pace = pace
        self.fronts: set[Front] = set()
        self.closing = False
        self._unreachable = unreachable
        self._backends: list[Backend] = []
        self._turn = itertools.count()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Front(self), sock=self.place.sock, backlog=BACKLOG)

    @property
    def backends(self) -> tuple[Backend, ...]:
        return tuple(self._backends)

    def serve(self, backends: Iterable[Backend]) -> None:
        """From now on, give new connections to these."""
        self._backends = list(backends)
        self._changed.set()
        self._changed = asyncio.Event()

    def stop_listening(self) -> None:
        """Take no more connections; those that are there end after the request they are in."""
        self.closing = True
        self.stop_accepting()

    def stop_accepting(self) -> None:
        """Take no more connections; those that are there go on for as many requests as they like."""
        if self._server is not None:
            self._server.close()
        self.place.sock.close()

    def close(self) -> None:
        """Stop, and close all connections."""
        self.stop_listening()
        for front in list(self.fronts):
            front.cut()

    async def reach(self, front: Front) -> Back | None:
        """A connection to a ready replica for `front`; None after `pace.hold` seconds without one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.pace.hold
        tried: set[Backend] = set()
        while loop.time() < deadline:
            backend = self._choose(tried)
            if backend is None:
                tried.clear()
                await self._wait(min(deadline - loop.time(), 0.25))
            elif (back := await self._try(backend, front)) is None:
                tried.add(backend)
            elif not backend.draining:
                return back
            else:  # the switch came in between
                back.let_go()
                front.backend = None
                backend.drop(front)
        return None

    async def _try(self, backend: Backend, front: Front) -> Back | None:
        loop = asyncio.get_running_loop()
        front.backend = backend
        backend.fronts.add(front)  # counts at once, so that a burst spreads
        try:
            async with asyncio.timeout(self.pace.connect):
                _, back = await loop.create_connection(lambda: Back(front), backend.host, backend.port)
                return back
        except OSError as error:  # TimeoutError is one: a full queue, not a dead replica
            front.backend = None
            backend.drop(front)
            if not isinstance(error, TimeoutError):
                self._unreachable(backend)
            return None

    def _choose(self, tried: set[Backend]) -> Backend | None:
        """The one with the fewest connections; in turn where several have as few."""
        open_ = [backend for backend in self._backends if backend not in tried]
        if not open_:
            return None
        fewest = min(len(backend.fronts) for backend in open_)
        best = [backend for backend in open_ if len(backend.fronts) == fewest]
        return best[next(self._turn) % len(best)]

    async def _wait(self, seconds: float) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            pass
