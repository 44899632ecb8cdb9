"""Locks on disk: kept for good by digest, and remembered by what they answer."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from bodywork.environment.exclusive import on_disk
from bodywork.environment.lock import Lock
from bodywork.errors import NotFoundError


class Shelf:
    """`locks` holds each lock as JSON named by its digest, `cache` answers by the key of what was asked."""

    def __init__(self, *, locks: Path, cache: Path) -> None:
        self._locks = locks
        self._cache = cache

    def remembered(self, key: str) -> Lock | None:
        """The answer to `key`. A file that cannot be read is no answer."""
        lock = read(self._cache / f"{key}.json")
        if lock is not None:
            self.keep(lock)
        return lock

    def remember(self, key: str, lock: Lock) -> None:
        self.keep(lock)
        write(self._cache / f"{key}.json", lock)

    def keep(self, lock: Lock) -> None:
        path = self._locks / f"{lock.digest}.json"
        if not path.exists():
            write(path, lock)

    def load(self, digest: str) -> Lock:
        """Raises NotFoundError."""
        lock = read(self._locks / f"{digest}.json") if digest.isalnum() else None
        if lock is None:
            raise NotFoundError(
                f"there is no lock {digest[:12]} in {self._locks}",
                hint="deploy that commit again to make it anew",
            )
        return lock


def read(path: Path) -> Lock | None:
    try:
        return from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(path: Path, lock: Lock) -> None:
    """All of it or nothing, also when several write at once or the disk is full."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with on_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # A requirements file may hold the address of an index with its password.
            beside.touch(mode=0o600)
            beside.write_text(json.dumps(to_json(lock), indent=1))
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def to_json(lock: Lock) -> dict[str, Any]:
    return {
        **vars(lock),
        "as_of": lock.as_of and lock.as_of.isoformat(),
        "build_as_of": lock.build_as_of and lock.build_as_of.isoformat(),
    }


def from_json(data: dict[str, Any]) -> Lock:
    dates = {name: data[name] and datetime.fromisoformat(data[name]) for name in ("as_of", "build_as_of")}
    lists = {name: tuple(data[name]) for name in ("warnings", "undated")}
    return Lock(**{**data, **dates, **lists})
