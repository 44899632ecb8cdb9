"""A store in front of others: a project that names another store still finds what it had made before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bodywork.artifacts.base import Kept, Store
from bodywork.errors import NotFoundError


class Fallback:
    """Everything is put into `first`; what it has not is looked for in `others`, which are opened then."""

    def __init__(self, first: Store, others: Callable[[], Iterable[Store]]) -> None:
        self._first = first
        self._others = others

    def put(self, path: Path) -> str:
        return self._first.put(path)

    def get(self, digest: str, into: Path) -> None:
        try:
            self._first.get(digest, into)
        except NotFoundError:
            for other in self._others():
                if other.size(digest) is not None:
                    other.get(digest, into)
                    return
            raise

    def size(self, digest: str) -> int | None:
        sizes = (store.size(digest) for store in (self._first, *self._others()))
        return next((size for size in sizes if size is not None), None)

    def check(self, *, writing: bool) -> None:
        self._first.check(writing=writing)

    def kept(self) -> Iterator[Kept]:
        return self._first.kept()

    def remove(self, *digests: str) -> None:
        self._first.remove(*digests)
