"""Environments that nobody has used for a while, and taking them away beside others who build."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Set
from pathlib import Path

from bodywork.environment.build import NAME_LENGTH
from bodywork.environment.exclusive import Turns, take

NAME = re.compile(f"[0-9a-f]{{{NAME_LENGTH}}}")


def unused(cache: Path, keep: Set[str], before: float) -> Iterator[Path]:
    """The folders of built environments but for those of the locks `keep`, last used before that time."""
    names = {digest[:NAME_LENGTH] for digest in keep}
    for path in sorted((cache / "environments").glob("*/")):
        if NAME.fullmatch(path.name) and path.name not in names and path.stat().st_mtime < before:
            yield path


def discard(path: Path, before: float) -> bool:
    """Delete an environment, unless somebody builds or uses it again by now.

    It is moved aside first, under the name of a half-made one: what a kill leaves, the next build
    sweeps. Whoever asks for it from then on builds it anew.
    """
    lock = Turns(path.parent / ".locks").file(path.name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not take(handle):
            return False
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        path.rename(aside)
        if aside.stat().st_mtime >= before:
            aside.rename(path)
            return False
        shutil.rmtree(aside, ignore_errors=True)
        return True
    finally:
        os.close(handle)
