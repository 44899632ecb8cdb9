"""Times as people and programs read them."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond: `2026-03-01T06:00:00.000Z`."""
    if at is None:
        return None
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
