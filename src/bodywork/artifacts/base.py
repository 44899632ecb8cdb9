"""The seam to the places where artifacts are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Keeps files and folders under the digest of their content.

    A digest is `file:<sha256>` or `folder:<sha256>`; a folder is kept as a tar archive that
    depends on nothing but names, contents and the executable bit.
    """

    def put(self, path: Path) -> str:
        """Keep a file or folder and return its digest. Raises MachineError when there is no room."""
        ...

    def get(self, digest: str, into: Path) -> None:
        """Write what has this digest to `into`, which is not there yet.

        Raises NotFoundError when it is not kept (any more), StageError when the content is not
        what the digest says.
        """
        ...

    def has(self, digest: str) -> bool: ...
