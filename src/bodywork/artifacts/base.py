"""The seam to the places where artifacts are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Keeping = Callable[[str], AbstractContextManager[None]]
"""Entered with a digest before anybody relies on it being kept, and left when it is: see `turns`."""


def unguarded(digest: str) -> AbstractContextManager[None]:
    """For a store from which nothing is ever removed meanwhile."""
    return nullcontext()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Something that is kept, with its size in bytes; a folder's is that of its archive."""

    digest: str
    size: int


class Store(Protocol):
    """Keeps files and folders under the digest of their content.

    A digest is `file:<sha256>` or `folder:<sha256>`; a folder is kept as a tar archive that
    depends on nothing but names, contents and the executable bit. Methods block, and may be called
    from several threads. Those of a store that is elsewhere raise UsageError and UnreachableError.
    """

    def put(self, path: Path) -> str:
        """Keep a file or folder and return its digest. Raises MachineError when there is no room."""
        ...

    def get(self, digest: str, into: Path) -> None:
        """Write what has this digest to `into`, which is not there yet: all of it, or nothing.

        Raises NotFoundError when it is not kept (any more), StageError when the content is not
        what the digest says.
        """
        ...

    def size(self, digest: str) -> int | None:
        """In bytes; None: it is not kept."""
        ...

    def check(self, *, writing: bool) -> None:
        """See that it is there and takes the credential; with `writing`, that something can be put there."""
        ...

    def kept(self) -> Iterator[Kept]:
        """All that this machine keeps there."""
        ...

    def remove(self, *digests: str) -> None:
        """Delete what of these is there."""
        ...
