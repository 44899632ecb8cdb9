"""The files of commits, written out once and shared by all runs on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bodywork.errors import MachineError
from bodywork.process import identity

UNUSED_FOR = 7 * 24 * 3600.0
"""Seconds after which a tree that no run has used is deleted."""


class Trees:
    """Folders `<root>/<commit>`; a tree is complete when it has that name, and never changed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def ensure(self, commit: str, export: Callable[[Path], None]) -> Path:
        """The folder with a commit's files; `export` writes them when they are not there yet."""
        tree = self.root / commit
        if not tree.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            written = self.root / f".{commit}.{os.getpid()}"
            shutil.rmtree(written, ignore_errors=True)
            try:
                export(written)
                # Somebody else may have been faster: theirs is the same.
                with contextlib.suppress(OSError):
                    written.rename(tree)
            finally:
                shutil.rmtree(written, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.utime(tree)
        return tree

    def trim(self, now: float | None = None) -> None:
        """Delete what has not been used for a week, and what killed commands have half made."""
        oldest = (time.time() if now is None else now) - UNUSED_FOR
        with contextlib.suppress(FileNotFoundError):
            for tree in self.root.iterdir():
                if _abandoned(tree.name) or tree.stat().st_mtime < oldest:
                    shutil.rmtree(tree, ignore_errors=True)


def _abandoned(name: str) -> bool:
    """Whether a folder is one that a process which has ended was writing: `.commit.pid[.more]`."""
    parts = name.split(".")
    pid = parts[2] if not parts[0] and len(parts) > 2 else ""
    return pid.isdigit() and identity(int(pid)) is None


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder, links as links; what stood at `target` before is gone.

    Raises MachineError when the disk does not take it; then there is nothing at `target`.
    """
    shutil.rmtree(target, ignore_errors=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, symlinks=True)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target, ignore_errors=True)
        # copytree goes on to the end, and lists (source, target, "[Errno 28] No space left ...").
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else str(error)
        first = first.rpartition("] ")[2].partition(": '")[0]
        raise MachineError(
            f"the project's files could not be copied to {target}: {first}",
            hint="free some space on that disk, then run the same command again",
        ) from error
