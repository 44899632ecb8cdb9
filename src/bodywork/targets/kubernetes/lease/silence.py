"""How long a holder has been silent, by no clock but our own monotonic one."""

from __future__ import annotations

GAP = 5.0
"""Seconds between two looks from which on the time between does not count.

When we could not look, because the API server was away, the holder could not renew, either.
"""


class Silence:
    """`seconds` for which the same mark has been seen, look after look; `moved`: it has changed once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.moved = False
        self._mark: str | None = None
        self._at = 0.0

    def see(self, mark: str, at: float) -> None:
        """Take in what was seen at time `at`, in seconds."""
        if mark != self._mark:
            self.moved = self._mark is not None
            self.seconds = 0.0
        elif at - self._at <= GAP:
            self.seconds += at - self._at
        else:
            self.seconds = 0.0
        self._mark, self._at = mark, at
