"""What is known of the commits in a mirror, in small files of our own beside git's.

SHA.json        the commit is complete: all its files are here, and these are its facts
seen.json       what the branches and tags were when the host was last asked
snapshots/A-B   the commit made for tree B over commit A
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Record:
    """Facts about a commit that is complete in a mirror.

    `date` is the committer's, in seconds since 1970. `submodules` maps their paths to the
    repository and the commit that are used there; `lfs` says whether files live in LFS.
    """

    date: int
    snapshot: bool = False
    changes: int = 0
    branch: str = ""
    lfs: bool = False
    submodules: Mapping[str, tuple[str, str]] = field(default_factory=dict)


class Notes:
    """The notes of one mirror; each is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, commit: str) -> Record | None:
        """What is known of a commit, if it is complete."""
        found = _read(self.folder / f"{commit}.json")
        try:
            submodules = {path: (name, sha) for path, (name, sha) in found["submodules"].items()}
            return Record(**{**found, "submodules": submodules})
        except (KeyError, TypeError, ValueError):
            return None  # Not there, or written by another version: it is made anew.

    def keep(self, commit: str, record: Record) -> None:
        """Note that a commit is complete. Its objects and those of its submodules are there."""
        _write(self.folder / f"{commit}.json", json.dumps(asdict(record)))

    def seen(self) -> dict[str, str]:
        """Full ref names, and HEAD, to commits, as the host last gave them; HEAD's branch is under ""."""
        return _read(self.folder / "seen.json")

    def see(self, refs: Mapping[str, str]) -> None:
        """Remember what refs stood for, for the time when the host is out of reach."""
        before = self.seen()
        if any(before.get(name) != sha for name, sha in refs.items()) and self.folder.exists():
            _write(self.folder / "seen.json", json.dumps({**before, **refs}))

    def snapshot_of(self, head: str, tree: str) -> str | None:
        """The commit made earlier for these files over this commit."""
        with contextlib.suppress(OSError):
            return (self.folder / "snapshots" / f"{head}-{tree}").read_text().strip() or None
        return None

    def keep_snapshot(self, head: str, tree: str, commit: str) -> None:
        _write(self.folder / "snapshots" / f"{head}-{tree}", commit)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: str) -> None:
    """Whole or not at all, whoever reads or dies in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        part.write_text(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
