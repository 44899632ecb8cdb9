"""What can be made again and nobody has used for a week: environments, and files of commits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bodywork.app.folders import size_of
from bodywork.app.freed import Part
from bodywork.app.parts import Parts
from bodywork.environment.unused import discard, unused
from bodywork.targets.local.trees import UNUSED_FOR

if TYPE_CHECKING:
    from bodywork.targets.local.definition import Definition

ENVIRONMENTS, FILES = "environments", "files of commits"


def unused_caches(parts: Parts, services: Sequence[Definition], *, dry_run: bool) -> Iterator[Part]:
    """Removed, or only counted: those of runs on record and of `services` stay however old they are."""
    before = time.time() - UNUSED_FOR
    running = " ".join(word for one in services for word in one.command)
    for path in unused(parts.home.cache, parts.holdings.environments(), before):
        if path.name in running:
            continue
        size = size_of(path)
        if dry_run or discard(path, before):
            yield Part(what=ENVIRONMENTS, count=1, size=size)
    yield from _trees(parts, before, dry_run)


def _trees(parts: Parts, before: float, dry_run: bool) -> Iterator[Part]:
    """Files that each deploy removes by itself once they are old."""
    old = [tree for tree in _folders(parts.trees.root) if tree.stat().st_mtime < before]
    for tree in old:
        yield Part(what=FILES, count=1, size=size_of(tree))
    if not dry_run:
        parts.trees.trim()


def _folders(root: Path) -> list[Path]:
    return sorted(root.glob("*/"))
