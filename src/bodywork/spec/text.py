"""The bytes of bodywork.yaml -> a tree with the place of every key and value.

The parser is asked for its events only; the tree is put together here, which is what makes it
possible to report every duplicate key, and to stop a file of a few lines that aliases expand to
billions of values before it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from bodywork.errors import Problem, SpecError
from bodywork.spec.scalar import TAG, TYPES, resolve, tagged
from bodywork.spec.syntax import explain
from bodywork.spec.tree import Node, Path, Place, quote, show

LARGEST_FILE = 1024 * 1024
"""Bytes."""

MOST_VALUES = 100_000
DEEPEST = 40

CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MAPPING = f"{TAG}map"
SEQUENCE = f"{TAG}seq"


@dataclass(frozen=True, kw_only=True)
class Document:
    """The tree, what is wrong for certain, and slips that YAML 1.1 tools let pass.

    `spoiled` are the paths of values that are not what was meant, so that more need not be said.
    """

    root: Node
    problems: tuple[Problem, ...]
    slips: tuple[Problem, ...]
    spoiled: tuple[Path, ...]


class _StopError(Exception):
    """Nothing after this can be read."""


@dataclass
class _Reader:
    """Puts a tree together from the parser's events."""

    file: str
    text: str
    events: Iterator[Any] = field(default_factory=lambda: iter(()))
    problems: list[Problem] = field(default_factory=list)
    slips: list[Problem] = field(default_factory=list)
    spoiled: list[Path] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)

    def problem(self, place: Place, message: str, path: Path = ()) -> Problem:
        return Problem(file=self.file, line=place.line, column=place.column, path=show(path), message=message)

    def tell(self, place: Place, message: str, path: Path = ()) -> None:
        self.problems.append(self.problem(place, message, path))

    def spoil(self, place: Place, message: str, path: Path) -> None:
        self.tell(place, message, path)
        self.spoiled.append(path)

    def stop(self, place: Place, message: str, path: Path = ()) -> _StopError:
        self.tell(place, message, path)
        return _StopError()

    def document(self) -> Node:
        """The only document of the text. Raises _StopError."""
        try:
            return self._document()
        except yaml.MarkedYAMLError as error:
            message, line, column = explain(error, self.text)
            raise self.stop(Place(line, column), message) from None
        except yaml.YAMLError as error:
            raise self.stop(Place(0, 0), f"this is not YAML: {error}") from None

    def _document(self) -> Node:
        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
        self.events = yaml.parse(self.text, Loader=loader)
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise self.stop(Place(0, 0), 'the file is empty: write `version: "2"`, or run `bodywork init`')
        root = self._node(next(self.events), (), 1)
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.stop(_place(after), 'a second document begins here: remove the "---" and what follows')
        return root

    def _node(self, event: Any, path: Path, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth)
        if depth > DEEPEST:
            raise self.stop(_place(event), f"nested more than {DEEPEST} levels deep")
        anchor: str | None = event.anchor
        if anchor:
            self.anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, path, depth)
        else:
            node = self._mapping(event, path, depth)
        if node.size > MOST_VALUES:
            raise self.stop(node.place, f"more than {MOST_VALUES:,} values, with aliases expanded", path)
        if anchor:
            self.anchors[anchor] = node
        return node

    def _alias(self, event: Any, path: Path, depth: int) -> Node:
        if event.anchor not in self.anchors:
            missing = f'no anchor "&{event.anchor}" before this'
            raise self.stop(_place(event), f'{missing}: put text that begins with "*" in quotes', path)
        node = self.anchors[event.anchor]
        if node is None:
            raise self.stop(_place(event), f'"*{event.anchor}" holds itself', path)
        if depth + node.height - 1 > DEEPEST:
            raise self.stop(_place(event), f"nested more than {DEEPEST} levels deep")
        return node

    def _scalar(self, event: Any, path: Path) -> Node:
        text: str = event.value
        place = _place(event)
        if fault := _unusable(text):
            self.spoil(place, fault, path)
            text = "".join(c for c in text if c.isprintable())
        value: Any = text
        if event.tag in (None, "!"):
            if event.implicit[0] and event.tag != "!":
                value = resolve(text)
        elif event.tag in TYPES:
            try:
                value = tagged(text, event.tag)
            except ValueError:
                self.spoil(place, f"{quote(text)} is not what its tag {_tag(event.tag)} says", path)
        else:
            self._unknown_tag(event, path)
            self.spoiled.append(path)
        return Node(value, place, text=text)

    def _sequence(self, event: Any, path: Path, depth: int) -> Node:
        self._collection_tag(event, SEQUENCE, path)
        items: list[Node] = []
        while not isinstance(following := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(following, (*path, len(items)), depth + 1))
        return _measured(Node(items, _place(event)), items)

    def _mapping(self, event: Any, path: Path, depth: int) -> Node:
        self._collection_tag(event, MAPPING, path)
        node = Node({}, _place(event))
        merged: list[Node] = []
        unusable = False
        while not isinstance(following := next(self.events), yaml.MappingEndEvent):
            key, place = self._key(following, path, depth)
            below = self._node(next(self.events), path if key is None else (*path, key), depth + 1)
            if key == "<<" and getattr(following, "style", "") in (None, ""):
                merged.extend(self._to_merge(below, path))
            elif key is None:
                unusable = True
            else:
                self._put(node, key, place, below, path)
        for other in merged:
            for key, below in other.value.items():
                if key not in node.value:
                    node.value[key], node.keys[key] = below, other.keys[key]
        if unusable and not node.value:
            self.spoiled.append(path)
        return _measured(node, list(node.value.values()))

    def _put(self, node: Node, key: str, place: Place, below: Node, path: Path) -> None:
        if key in node.value:
            first = node.keys[key].line
            self.slips.append(self.problem(place, f"duplicate key (first in line {first})", (*path, key)))
        node.value[key], node.keys[key] = below, place

    def _key(self, event: Any, path: Path, depth: int) -> tuple[str | None, Place]:
        node = self._node(event, path, depth + 1)
        place = _place(event)
        if isinstance(node.value, dict | list):
            what = "mapping" if isinstance(node.value, dict) else "list"
            self.tell(place, f"a {what} cannot be a key: put text that holds brackets in quotes", path)
            return None, place
        if not isinstance(node.value, str):
            said = f"a key must be text: write {quote(node.text)}" if node.text else "a key is missing here"
            self.slips.append(self.problem(place, said, path))
        return node.text, place

    def _to_merge(self, node: Node, path: Path) -> list[Node]:
        nodes: list[Node] = node.value if isinstance(node.value, list) else [node]
        if all(isinstance(other.value, dict) for other in nodes):
            return nodes
        self.tell(node.place, 'only mappings can be merged with "<<"', path)
        return []

    def _collection_tag(self, event: Any, usual: str, path: Path) -> None:
        if event.tag not in (None, "!", usual):
            self._unknown_tag(event, path)

    def _unknown_tag(self, event: Any, path: Path) -> None:
        message = f"the tag {_tag(event.tag)} means nothing here: remove it, or put quotes around the text"
        self.tell(_place(event), message, path)


def parse(data: bytes, *, file: str) -> Document:
    """Read `data` as one mapping. Raises SpecError when there is no tree to go on with."""
    reader = _Reader(file=file, text="")
    try:
        reader.text = _decode(data, reader)
        root = reader.document()
        if root.value is None:
            raise reader.stop(Place(0, 0), 'the file is empty: write `version: "2"`, or run `bodywork init`')
        if not isinstance(root.value, dict):
            what = "a list" if isinstance(root.value, list) else f"the text {quote(root.text)}"
            raise reader.stop(root.place, f"the file must be a mapping of keys to values, not {what}")
    except _StopError:
        found = sorted((*reader.problems, *reader.slips), key=lambda p: (p.line, p.column))
        raise SpecError(found) from None
    return Document(
        root=root,
        problems=tuple(reader.problems),
        slips=tuple(reader.slips),
        spoiled=tuple(path for path in reader.spoiled if path),
    )


def _decode(data: bytes, reader: _Reader) -> str:
    if len(data) > LARGEST_FILE:
        raise reader.stop(
            Place(0, 0), f"the file has {len(data):,} bytes; the most that is read is {LARGEST_FILE:,}"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _end(data[: error.start].decode("utf-8-sig", errors="replace"))
        guess = ", it looks like UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        byte = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        raise reader.stop(place, f"not UTF-8 ({byte}{guess}): save the file as UTF-8") from None
    if strange := CONTROL.search(text):
        place = _end(text[: strange.start()])
        raise reader.stop(place, f"the character U+{ord(strange[0]):04X} is not allowed in YAML: remove it")
    return text


def _end(text: str) -> Place:
    lines = (text + ".").splitlines()
    return Place(len(lines), len(lines[-1]))


def _unusable(text: str) -> str | None:
    if "\0" in text:
        return "holds a NUL character, which no path, argument or variable can"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "holds half a character (a lone surrogate)"
    return None


def _measured(node: Node, below: list[Node]) -> Node:
    node.size = 1 + sum(child.size for child in below)
    node.height = 1 + max((child.height for child in below), default=0)
    return node


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _tag(tag: str) -> str:
    return quote(tag.replace(TAG, "!!"))
