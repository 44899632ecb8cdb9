"""What an artifact is on its way: one file, of which its digest is, and how it gets to its place again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bodywork.artifacts.failure import DamagedError
from bodywork.errors import StageError
from bodywork.stage import archive


def place(content: Path, found: str, digest: str, into: Path, *, what: str) -> None:
    """Put content that has come, in a folder of its own, to its place if its sha256 is the right one.

    Raises DamagedError that says `what` it is.
    """
    kind, _, wanted = digest.partition(":")
    if found != wanted:
        raise DamagedError(
            f"artifact {what} is damaged: its digest is {found}, not {wanted}",
            hint="run the stage that makes it again: bodywork deploy",
        )
    if kind == "folder":
        unpacked = content.with_name("unpacked")
        archive.unpack(str(content), str(unpacked))
        content = unpacked
    content.rename(into)


@contextmanager
def as_file(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The kind of an artifact and, as a file, the content that its digest is of."""
    if path.is_dir():
        with tempfile.TemporaryFile(dir=path.parent) as packed:
            try:
                archive.write(str(path), packed)
            except archive.OutsideError as error:
                raise StageError(f"{error.link} is a link that leads out of the folder: {error.to}") from None
            packed.seek(0)
            yield "folder", packed
    elif path.is_file():
        with path.open("rb") as content:
            yield "file", content
    else:
        raise StageError(f"{path.name} is neither a file nor a folder")
