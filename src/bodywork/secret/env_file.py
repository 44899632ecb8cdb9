"""Files of KEY=VALUE lines, as `docker run --env-file` and the many `.env` loaders read them.

Blank lines, lines that begin with `#` and the word `export` before a key count for nothing. Quotes around a
whole value are taken off; in double ones, backslash escapes a double quote, itself, and `n` for a newline.
Nothing else is special: a `#` or `$` in a value is part of it.
"""

from __future__ import annotations

import re

from bodywork.errors import UsageError
from bodywork.secret.names import KEY
from bodywork.secret.value import value_of

LINE = re.compile(r"(?:export\s+)?([^=\s]+)\s*=\s*(.*)", re.DOTALL)
ESCAPED = re.compile(r'\\([\\"n])')


def parse(data: bytes, file: str) -> dict[str, str]:
    """The values by key. Raises UsageError that names the line, and shows nothing of it."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not text") from None
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, value = _read(line.strip(), f"{file}:{number}")
        if key in lines:
            raise UsageError(f"{file}:{number}: {key} is in line {lines[key]} too")
        found[key], lines[key] = value_of(value.encode(), key), number
    if not found:
        raise UsageError(f"{file} has no line like KEY=VALUE")
    return found


def _read(line: str, place: str) -> tuple[str, str]:
    matched = LINE.fullmatch(line)
    if not matched or not KEY.fullmatch(matched[1]):
        raise UsageError(f"{place}: not a line like KEY=VALUE", hint="KEY is the name of a variable")
    value = _unquoted(matched[2], place)
    if not value:
        raise UsageError(f"{place}: the value is empty", hint="leave out the line")
    return matched[1], value


def _unquoted(value: str, place: str) -> str:
    quote = value[:1]
    if quote not in ('"', "'") or not quote:
        return value
    if len(value) < 2 or not value.endswith(quote):
        raise UsageError(
            f"{place}: the quote at the beginning of the value has no other at the end of the line",
            hint="give a value of several lines a file: bodywork secret set NAME KEY --from-file FILE",
        )
    inner = value[1:-1]
    if quote == "'":
        return inner
    return ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], inner)
