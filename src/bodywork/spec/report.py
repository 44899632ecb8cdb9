"""Collects what is wrong in a file, each thing at its place, so that all of it is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from bodywork.errors import Problem
from bodywork.spec.tree import Node, Path, Place, quote, show


class Report:
    """The problems of one file.

    A path that is marked as broken has been reported already: nothing more is said about it or
    what lies below it, since later checks see a stand-in there.
    """

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        self.root = root
        self._problems: list[Problem] = []
        self._broken: set[Path] = set()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, warnings included, in the file's order."""
        return tuple(sorted(self._problems, key=lambda problem: (problem.line, problem.column)))

    @property
    def failed(self) -> bool:
        return any(not problem.warning for problem in self._problems)

    def add(self, problems: Iterable[Problem]) -> None:
        """Take over problems that were found elsewhere."""
        self._problems.extend(problems)

    def broken(self, path: Path) -> bool:
        """Whether `path` or something above it has been reported as unusable."""
        return any(path[:length] in self._broken for length in range(len(path) + 1))

    def mark(self, path: Path) -> None:
        """From now on say nothing about `path`."""
        self._broken.add(path)

    def error(self, path: Path, message: str, *, key: bool = False) -> None:
        """Something wrong at `path`: with its value, or with its `key`."""
        self._tell(path, message, key=key, warning=False)

    def warn(self, path: Path, message: str, *, key: bool = False) -> None:
        """Something odd at `path` that does not stop anybody."""
        self._tell(path, message, key=key, warning=True)

    def _tell(self, path: Path, message: str, *, key: bool, warning: bool) -> None:
        if self.broken(path):
            return
        place = self.place(path, key=key)
        self._problems.append(
            Problem(
                file=self.file,
                line=place.line,
                column=place.column,
                path=show(path),
                message=message,
                warning=warning,
            )
        )

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where `path` stands; what is not in the file stands at the key of the nearest thing above."""
        node, of_key = self.root, self.root.place
        for segment in path:
            below = node.below(segment)
            if below is None:
                return of_key
            of_key = node.keys.get(str(segment), below.place)
            node = below
        return of_key if key or node.value is None else node.place


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "memory"?)`, or nothing when no known word is near."""
    near = nearest(word, known)
    return f" (did you mean {quote(near)}?)" if near is not None else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, upper and lower case being the same; None: there is none."""
    plain = {name.lower().replace("_", "-"): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("_", "-"), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None
