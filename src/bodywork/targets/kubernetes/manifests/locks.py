"""A lock as JSON, but for its text, which is a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bodywork.environment import Lock


def encoded_lock(lock: Lock) -> dict[str, Any]:
    return {
        "digest": lock.digest,
        "python": lock.python,
        "form": lock.form,
        "as_of": _written(lock.as_of),
        "build_as_of": _written(lock.build_as_of),
        "undated": list(lock.undated),
    }


def decoded_lock(said: Mapping[str, Any], text: str) -> Lock:
    return Lock(
        digest=said["digest"],
        python=said["python"],
        text=text,
        form=said["form"],
        as_of=_read(said["as_of"]),
        warnings=(),
        build_as_of=_read(said["build_as_of"]),
        undated=tuple(said["undated"]),
    )


def _written(date: datetime | None) -> str | None:
    return date.isoformat() if date else None


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
