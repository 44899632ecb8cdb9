"""Turns between those who put something into a store and those who remove it, on one machine.

Whoever puts shares the turn of a digest with others who put; whoever removes has it alone. A put
says in its turn that the digest is relied on, then looks whether it is there: so a removal either
sees that, or is over before the look.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """Turns as locks on files in `folder`, one for all digests that begin alike."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def putting(self, digest: str) -> Iterator[None]:
        """Waits while somebody removes."""
        with self._open(digest) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    @contextmanager
    def removing(self, digest: str) -> Iterator[bool]:
        """False: somebody puts it, or one with which it shares the lock."""
        with self._open(digest) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @staticmethod
    def name(digest: str) -> str:
        """What all digests have in common that share a turn."""
        return digest.partition(":")[2][:2]

    @contextmanager
    def _open(self, digest: str) -> Iterator[int]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{self.name(digest)}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
