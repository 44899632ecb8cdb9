"""Taking digests: of a file, or beside a transfer, on a core of its own."""

from __future__ import annotations

import hashlib
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import IO

BLOCK = 1024 * 1024
AHEAD = 8
"""Blocks that may wait: memory stays flat."""


def digest_of(content: IO[bytes]) -> str:
    """The sha256 of all that is left of a file."""
    taken = hashlib.sha256()
    while block := content.read(BLOCK):
        taken.update(block)
    return taken.hexdigest()


class Digesting:
    """The sha256 of the blocks that it is given, taken while the caller goes on; a context manager."""

    def __init__(self) -> None:
        self._taken = hashlib.sha256()
        self._blocks: Queue[bytes | memoryview | None] = Queue(AHEAD)
        self._thread = Thread(target=self._work, daemon=True)

    def __enter__(self) -> Digesting:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blocks.put(None)
        self._thread.join()

    def add(self, block: bytes | memoryview) -> None:
        self._blocks.put(block)

    @property
    def result(self) -> str:
        """To be asked for after the end of the block."""
        return self._taken.hexdigest()

    def _work(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._taken.update(block)
