"""A bucket as the store of the target local: what this machine keeps there, by content.

Keys are `<prefix>/_local/<owner>/<first two digits>/<digest>.<kind>`. `owner` stands for one
$BODYWORK_HOME: no other one puts or removes anything there, so that what one machine prunes is
never what another one's releases need. No pipeline is called `_local`, so the keys of runs in
clusters are others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bodywork.artifacts.base import Keeping, Kept, unguarded
from bodywork.artifacts.content import as_file
from bodywork.artifacts.digest import digest_of
from bodywork.artifacts.failure import DamagedError
from bodywork.artifacts.files import KINDS, room_on
from bodywork.artifacts.objects import ObjectStore
from bodywork.artifacts.turns import Turns
from bodywork.errors import NotFoundError, StageError

FOLDER = "_local"
MARK = "owner"
"""The key of what is put there to see whether something can be put there."""


class BucketStore:
    """`turns` are those of all stores of this machine; `keeping` is entered around each put."""

    def __init__(
        self, objects: ObjectStore, owner: str, *, turns: Turns, keeping: Keeping = unguarded
    ) -> None:
        self._objects = objects
        self._owner = owner
        self._folder = f"{FOLDER}/{owner}"
        self._turns = turns
        self._keeping = keeping

    def put(self, path: Path) -> str:
        with room_on(path.parent), as_file(path) as (kind, content):
            begun = _version(content)
            digest = f"{kind}:{digest_of(content)}"
            with self._keeping(digest):
                self._objects.keep(content, self._key(digest))
                if _version(content) != begun:
                    self._objects.delete(self._key(digest))
                    raise StageError(f"{path.name} was changed while it was being kept")
        return digest

    def get(self, digest: str, into: Path) -> None:
        try:
            self._objects.get(self._key(digest), digest, into)
        except DamagedError:
            self._get_again(digest, into)
        except NotFoundError as error:
            raise NotFoundError(
                f"artifact {digest} is not in the store {self._objects.address}", hint=error.hint
            ) from error

    def size(self, digest: str) -> int | None:
        found = self._objects.head(self._key(digest))
        return found.size if found else None

    def check(self, *, writing: bool) -> None:
        if writing:
            self._objects.put_bytes(f"{self._owner}\n".encode(), f"{self._folder}/{MARK}")
        else:
            self._objects.check()

    def kept(self) -> Iterator[Kept]:
        for entry in self._objects.list(self._folder):
            value, _, kind = entry.key.rpartition("/")[2].partition(".")
            if kind in KINDS:
                yield Kept(digest=f"{kind}:{value}", size=entry.size)

    def remove(self, *digests: str) -> None:
        self._objects.delete(*(self._key(digest) for digest in digests))

    def _get_again(self, digest: str, into: Path) -> None:
        """What is damaged in the store must go: or else it would be taken for what a later run makes."""
        with self._turns.removing(digest) as alone:
            try:
                self._objects.get(self._key(digest), digest, into)
            except DamagedError as error:
                if not alone:
                    raise
                with contextlib.suppress(Exception):  # who may only read cannot
                    self._objects.delete(self._key(digest))
                raise DamagedError(
                    error.message, hint="it was taken out: the stage that makes it has to run again"
                ) from error

    def _key(self, digest: str) -> str:
        kind, _, value = digest.partition(":")
        return f"{self._folder}/{value[:2]}/{value}.{kind}"


def _version(content: IO[bytes]) -> tuple[int, int]:
    """Another one when somebody has written to the file."""
    told = os.fstat(content.fileno())
    return told.st_size, told.st_mtime_ns
