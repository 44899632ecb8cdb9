"""Durations, sizes and shares of a core, as people write them.

Every function takes what the file has and returns seconds, bytes or cores; each raises ValueError
with a sentence that says what was expected.
"""

from __future__ import annotations

import math
import re

from bodywork.spec.tree import describe, written

AMOUNT = r"(\d{1,9}(?:\.\d{1,3})?)"
DURATION = re.compile(rf"(?:{AMOUNT}h)?(?:{AMOUNT}m)?(?:{AMOUNT}s)?")
LONGEST = 366 * 24 * 3600.0

SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([A-Za-z]*)")
UNITS = {
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
SMALLEST_MEMORY = 10**6
LARGEST_MEMORY = 2**50

CPU = re.compile(r"\d{1,6}(\.\d{1,6})?|\d{1,9}m")
MOST_CPU = 10_000


def seconds(value: object) -> float:
    """`90s`, `20m`, `2h`, `1h30m`."""
    text = written(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    if text is None or not (found := DURATION.fullmatch(text)) or not text:
        bare = text is not None and re.fullmatch(r"\d{1,9}(\.\d+)?", text)
        hint = f": write {text}s for seconds" if bare else ""
        raise ValueError(f"must be a duration like 90s, 20m, 2h or 1h30m, not {describe(value)}{hint}")
    hours, minutes, rest = (float(group or 0) for group in found.groups())
    total = hours * 3600 + minutes * 60 + rest
    if not 0 < total <= LONGEST:
        raise ValueError(f"must be more than 0s and at most a year, not {text}")
    return total


def memory(value: object) -> int:
    """`512Mi`, `1Gi`, `500M`, in bytes."""
    text = written(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    found = SIZE.fullmatch(text)
    if not found or found[2] not in UNITS:
        raise ValueError(f"must be a size like 512Mi, 1Gi or 500M, not {describe(value)}{_meant(found)}")
    size = round(float(found[1]) * UNITS[found[2]])
    if not SMALLEST_MEMORY <= size <= LARGEST_MEMORY:
        raise ValueError(f"must be at least 1M and at most 1024Ti, not {text}")
    return size


def _meant(found: re.Match[str] | None) -> str:
    if not found:
        return ""
    number, unit = found[1], found[2]
    if not unit:
        return f": write {number}Mi for mebibytes"
    first = unit[0].upper()
    return f" (did you mean {number}{first}i?)" if first in "KMGT" and len(unit) <= 3 else ""


def cores(value: object) -> float:
    """`0.5`, `2`, `500m`."""
    usable = isinstance(value, str | int | float) and not isinstance(value, bool)
    text = written(value) if usable else ""
    if isinstance(value, float) and math.isfinite(value) and not CPU.fullmatch(text):
        text = f"{float(value):f}"
    if not CPU.fullmatch(text):
        raise ValueError(f"must be a number of cores like 0.5, 2 or 500m, not {describe(value)}")
    share = int(text[:-1]) / 1000 if text.endswith("m") else float(text)
    if not 0 < share <= MOST_CPU:
        raise ValueError(f"must be more than 0 and at most {MOST_CPU}, not {text}")
    return share
