"""A replica, as the proxy sees it: where it is, and which connections it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Connection(Protocol):
    """A client's connection that can be sent on: see `relay`."""

    def leave(self) -> None: ...

    def cut(self) -> None: ...


class Backend:
    """`fronts` are the connections that it has."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.draining = False
        self.fronts: set[Connection] = set()
        self._drained: Callable[[], object] | None = None

    def on_drained(self, call: Callable[[], object]) -> None:
        """`call` once, when it drains and has no connection left."""
        self._drained = call

    def drain(self) -> None:
        """Let go of all connections, each between two of its requests."""
        self.draining = True
        for front in list(self.fronts):
            front.leave()
        self._tell()

    def cut(self) -> None:
        """Close what is left."""
        for front in list(self.fronts):
            front.cut()

    def drop(self, front: Connection) -> None:
        self.fronts.discard(front)
        self._tell()

    def _tell(self) -> None:
        if self.draining and not self.fronts and self._drained is not None:
            drained, self._drained = self._drained, None
            drained()
