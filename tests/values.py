"""The values of secrets, looked for where nobody may find them: `grep -r`, `ps`, objects of a cluster."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

LONG = 30
"""Characters of a line that is worth looking for alone, in a value of several lines."""


def forms(value: str) -> list[bytes]:
    """A value, or each of its lines; the same quoted, and the middle of it in base64."""
    data = value.encode()
    lines = [line for line in value.splitlines() if len(line) >= LONG and "KEY" not in line] or [value]
    encoded = base64.b64encode(data).rstrip(b"=")
    middle = encoded if len(encoded) < 200 else encoded[len(encoded) // 3 :][:64]
    quoted = [form(line).encode() for line in lines for form in (quote, quote_plus)]
    return sorted({*(line.encode() for line in lines), *quoted, middle})


def found(values: Iterable[str], data: bytes) -> list[bytes]:
    """Those forms of the values that are in there."""
    return [form for value in values for form in forms(value) if form in data]


def in_files(values: Iterable[str], folder: Path, *, but: Path | None = None) -> list[str]:
    """`grep -r` over a folder, but for a folder in it."""
    files = (path for path in folder.rglob("*") if path.is_file() and but not in path.parents)
    return [f"{path}: {form!r}" for path in files for form in found(values, path.read_bytes())]


def command_lines() -> bytes:
    """What `ps` shows of all processes."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" "))
        except OSError:
            continue
    return b"\n".join(lines)


@contextmanager
def watched_processes(every: float = 0.2) -> Iterator[set[bytes]]:
    """All command lines that `ps` has shown from time to time, until the end of the block."""
    seen: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(every):
            seen.update(command_lines().splitlines())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
