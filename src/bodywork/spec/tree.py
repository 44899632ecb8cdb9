"""A YAML document as a tree that remembers where everything stands and how it was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Where in a document: keys of mappings and positions in lists, from the root."""

LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Node:
    """A value of a document.

    `value` is a scalar, a dict or a list of nodes; `keys` has the places of a mapping's keys,
    `text` a scalar as it is written. `size` counts the values below and including this one with
    all aliases expanded, `height` how deep they are nested.
    """

    value: Any
    place: Place
    text: str = ""
    keys: dict[str, Place] = field(default_factory=dict)
    size: int = 1
    height: int = 1

    def below(self, segment: str | int) -> Node | None:
        """The value at a key or position; None where there is none."""
        if isinstance(self.value, dict):
            found: Node | None = self.value.get(segment)
            return found
        if isinstance(self.value, list) and isinstance(segment, int) and segment < len(self.value):
            item: Node = self.value[segment]
            return item
        return None


class WrittenInt(int):
    """A whole number that knows its text in the file (`0x10`, `007`)."""

    text: str

    def __new__(cls, value: int, text: str) -> WrittenInt:
        number = super().__new__(cls, value)
        number.text = text
        return number


class WrittenFloat(float):
    """A number that knows its text in the file: `3.10` is 3.1 to YAML."""

    text: str

    def __new__(cls, value: float, text: str) -> WrittenFloat:
        number = super().__new__(cls, value)
        number.text = text
        return number


def plain(node: Node) -> Any:
    """Fresh dicts, lists and scalars; numbers are `WrittenInt` and `WrittenFloat`."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [plain(below) for below in value]
    if isinstance(value, float):
        return WrittenFloat(value, node.text)
    if isinstance(value, int) and not isinstance(value, bool):
        return WrittenInt(value, node.text)
    return value


def written(value: object) -> str:
    """A scalar as the file has it."""
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def quote(text: str) -> str:
    """`text` in quotes on one line, cut short, safe to print."""
    short = text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + "..."
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short) + '"'


def describe(value: object) -> str:
    """What a value is, in words that fit after "not"."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return written(value)
    if isinstance(value, int | float):
        text = written(value)
        return f"the number {text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + '...'}"
    if isinstance(value, str):
        return f"the text {quote(value)}"
    return "a mapping" if isinstance(value, dict) else "a list"


def show(path: Path) -> str:
    """`stages.train.args[0]`."""
    shown = ""
    for segment in path:
        if isinstance(segment, int):
            shown += f"[{segment}]"
        else:
            simple = segment.replace("_", "a").replace("-", "a").isalnum() and len(segment) <= LONGEST_QUOTE
            shown += ("." if shown else "") + (segment if simple else quote(segment))
    return shown
