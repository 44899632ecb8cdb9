"""Durations, sizes and states in words."""

from __future__ import annotations

COLOURS = {
    "succeeded": "green",
    "unchanged": "green",
    "running": "cyan",
    "preparing": "blue",
    "failed": "red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "skipped": "bright_black",
    "pending": "bright_black",
}


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 03 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min {rest:02} s" if hours < 1 else f"{hours} h {minutes:02} min"


def size(octets: int) -> str:
    """`512 MiB`, `1.5 GiB`, and `12 KiB`, `80 B` for what is less than a MiB."""
    if octets < 2**20:
        return f"{octets} B" if octets < 1000 else f"{octets / 2**10:.0f} KiB"
    mebibytes = octets / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"


def ago(seconds: float) -> str:
    """`12 s ago`, `3 d ago`: one unit is enough to find one's way."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds)} s ago"
