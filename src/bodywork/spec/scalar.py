"""What an unquoted word of YAML means, by the core schema of YAML 1.2 (section 10.3.2 there).

`yes`, `on`, `1_000`, `12:30` and `2024-01-31` are text; `0o17` and `0x1f` are numbers.
"""

from __future__ import annotations

import re

NULL = frozenset({"", "~", "null", "Null", "NULL"})
BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
INT = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})
LONGEST_INT = 300

TAG = "tag:yaml.org,2002:"
TYPES: dict[str, type | None] = {
    f"{TAG}str": str,
    f"{TAG}int": int,
    f"{TAG}float": float,
    f"{TAG}bool": bool,
    f"{TAG}null": None,
}


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar. Numbers of more than 300 digits stay text."""
    if text in NULL:
        return None
    if text in BOOL:
        return BOOL[text]
    if text[0] not in "+-.0123456789" or len(text) > LONGEST_INT:
        return text
    if INT.fullmatch(text):
        return int(text)
    if OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if FLOAT.fullmatch(text):
        return float(text)
    if INFINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return float("nan") if text in NOT_A_NUMBER else text


def tagged(text: str, tag: str) -> str | int | float | bool | None:
    """The value of a scalar with one of the `TYPES`. Raises ValueError when it is not of that type."""
    wanted = TYPES[tag]
    if wanted is str:
        return text
    value = resolve(text)
    if wanted is float and type(value) is int:
        return float(value)
    if (wanted is None and value is None) or (wanted is not None and type(value) is wanted):
        return value
    raise ValueError(text)
