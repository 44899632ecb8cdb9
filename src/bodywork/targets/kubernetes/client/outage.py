"""Whether the cluster is away, told once for all who ask for it: once when it goes, once when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable

_RECENT = 15.0  # seconds after which a server that was away knows its users and roles again


class Outage:
    """`note` gets a sentence; it is called from the event loop and has to return at once."""

    def __init__(self, note: Callable[[str], None], where: str) -> None:
        self._note = note
        self._where = where
        self._since: float | None = None
        self._felt = float("-inf")

    @property
    def recent(self) -> bool:
        return time.monotonic() - self._felt < _RECENT

    def felt(self) -> None:
        """A request has failed for want of a server."""
        self._felt = time.monotonic()

    def away(self, why: str) -> None:
        """Somebody waits for the server from now on, for as long as it takes."""
        if self._since is None:
            self._since = time.monotonic()
            self._note(f"{why}; waiting for it, what runs in the cluster goes on")

    def back(self) -> None:
        if self._since is not None:
            seconds = time.monotonic() - self._since
            self._since = None
            self._note(f"the cluster {self._where} answers again, after {seconds:.0f} s")
