"""The files of commits, written out once and shared by all runs on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

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
        """Delete what has not been used for a week, half-made trees of killed commands included."""
        oldest = (time.time() if now is None else now) - UNUSED_FOR
        with contextlib.suppress(FileNotFoundError):
            for tree in self.root.iterdir():
                if tree.stat().st_mtime < oldest:
                    shutil.rmtree(tree, ignore_errors=True)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder, links as links; what stood at `target` before is gone."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, symlinks=True)
