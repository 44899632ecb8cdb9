"""Log files of replicas: written by the replicas themselves, so that they outlive the agent.

They are opened for appending; rotation copies and empties them (a process cannot be told to open
another file). The newest of the kept files ends in `.1`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PIECE = 256 * 1024


def open_log(path: Path) -> int:
    """A descriptor to hand to a process; the caller closes its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def rotate(path: Path, *, size: int, keep: int) -> bool:
    """Put a file that has outgrown `size` bytes aside, keeping `keep` older ones."""
    try:
        if path.stat().st_size <= size:
            return False
    except OSError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


class Tail:
    """Reads what is added to a file from now on, in whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self, *, last: bool = False) -> str:
        """The lines that have come since, at most about `PIECE` bytes; `last`: unended ones too."""
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                data = file.read(PIECE)
        except OSError:
            data = b""
        self._offset += len(data)
        lines, rest = self._split(self._rest + data)
        if rest and (len(rest) > PIECE or (last and not data)):
            lines, rest = lines + rest + b"\n", b""
        self._rest = rest
        return lines.decode(errors="replace")

    @staticmethod
    def _split(data: bytes) -> tuple[bytes, bytes]:
        cut = data.rfind(b"\n") + 1
        return data[:cut], data[cut:]
