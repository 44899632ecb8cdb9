"""What a stage's container prints: its runtime's own lines first, then those of the module.

The runtime says what it does in lines that begin with `bodywork: `; the last of them, `bodywork:
starting ...`, comes just before the module runs. They are no output of the stage.
"""

from __future__ import annotations

from collections import deque

OWN = b"bodywork: "
MARK = b"bodywork: starting "
KEPT = 64 * 1024
"""Bytes of a stage's output that outlive its pods."""


class Prologue:
    """Takes the runtime's lines out of what one container prints."""

    def __init__(self) -> None:
        self.began = False
        self.last = ""
        """What the runtime does, or did last."""

    def take(self, piece: bytes) -> bytes:
        """What the stage itself has printed of these whole lines."""
        if self.began:
            return piece
        printed, rest = [], piece
        while rest and not self.began:
            line, end, rest = rest.partition(b"\n")
            if line.startswith(MARK):
                self.began = True
            if line.startswith(OWN):
                self.last = line[len(OWN) :].decode(errors="replace")
            else:
                printed.append(line + end)
        return b"".join(printed) + rest


class Tail:
    """The end of what was added, about `KEPT` bytes of it."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def add(self, piece: bytes) -> None:
        piece = piece[-KEPT:]
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size - len(self._pieces[0]) >= KEPT:
            self._size -= len(self._pieces.popleft())

    @property
    def text(self) -> bytes:
        """The last 64 kB."""
        return b"".join(self._pieces)[-KEPT:]

    def lines(self, count: int) -> list[str]:
        """The last `count` lines, each cut after 500 characters."""
        return [line[:500] for line in self.text.decode(errors="replace").splitlines()[-count:]]
