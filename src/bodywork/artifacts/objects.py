"""The one door to object stores: S3 and what speaks like it, Google's, Azure's, or a folder.

A file goes up in parts while its digest is taken, comes down into a file beside its place and is
put there only when its digest is the right one: memory stays flat, and nothing damaged is ever
seen. A folder travels as the archive that its digest is of.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast
from urllib.parse import quote

from bodywork.artifacts import pieces
from bodywork.artifacts.address import Address
from bodywork.artifacts.client import client
from bodywork.artifacts.content import as_file, place
from bodywork.artifacts.digest import BLOCK, Digesting, digest_of
from bodywork.artifacts.failure import DeniedError, sentence
from bodywork.artifacts.files import room_on
from bodywork.artifacts.pieces import Signed
from bodywork.errors import BodyworkError, NotFoundError, UsageError

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

PART = 8 * BLOCK
MOST_PARTS = 9_000
"""Of an object; S3 takes 10,000."""
PARTS_AT_ONCE = 4
Method = Literal["GET", "PUT"]
LONGEST_SIGNED = timedelta(days=7)  # what S3 allows at most


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object that is there: its key, without the store's prefix, and its size in bytes."""

    key: str
    size: int


class ObjectStore:
    """One store, as the owner of one credential. Keys are relative to the address' prefix.

    `variables` is where the credential is looked for: an environment, or the content of a secret;
    `patience` is for how many seconds a store that is away is asked again. Methods block: call
    them in a thread where others wait. All raise UsageError (NotFoundError for what is not
    there) and UnreachableError.
    """

    def __init__(self, address: Address, variables: Mapping[str, str], *, patience: float = 30.0) -> None:
        self.address = address
        self._client = client(address, variables, patience)

    def put(self, path: Path, key: str, *, absent: bool = False) -> str:
        """Keep a file or folder under `key` and return its digest.

        With `absent`, what is there already stays as it is. Raises StageError for what is neither
        file nor folder.
        """
        with room_on(path.parent), as_file(path) as (kind, content):
            there = absent and self.head(key) is not None
            digest = digest_of(content) if there else self._upload(content, key, absent)
        return f"{kind}:{digest}"

    def keep(self, content: IO[bytes], key: str) -> None:
        """Put all of `content`, unless there is as much under `key` already."""
        import obstore

        size, there = os.fstat(content.fileno()).st_size, self.head(key)
        if there is not None and there.size == size:
            return
        content.seek(0)
        if size < PART:  # a store takes a condition with a whole object only, not with parts
            self._create(content.read(), key, absent=there is None)
            return
        try:
            with self._asked("write", key):
                obstore.put(
                    self._client,
                    self._full(key),
                    content,
                    chunk_size=_part(size),
                    max_concurrency=PARTS_AT_ONCE,
                )
        except BodyworkError:
            # Azure throws the parts of all others away when somebody who puts the same is done first.
            there = self.head(key)
            if there is None or there.size != size:
                raise

    def put_bytes(self, content: bytes, key: str) -> None:
        """Put something small, whatever is there."""
        import obstore

        with self._asked("write", key):
            obstore.put(self._client, self._full(key), content)

    def get(self, key: str, digest: str, into: Path, *, piece: int | None = None) -> None:
        """Write what is under `key` to `into`, which is not there yet, if it has that digest.

        `piece` is the size of its pieces, see `pieces`. Raises DamagedError when it has another
        digest; then nothing is written.
        """
        into.parent.mkdir(parents=True, exist_ok=True)
        with room_on(into.parent), tempfile.TemporaryDirectory(dir=into.parent, prefix=".new-") as scratch:
            new = Path(scratch, "content")
            found = self._download(key, new, piece)
            place(new, found, digest, into, what=f"{key} in the store {self.address}")

    def head(self, key: str) -> Entry | None:
        """What is under `key`, or None."""
        import obstore

        try:
            with self._asked("read", key):
                return Entry(key=key, size=obstore.head(self._client, self._full(key))["size"])
        except NotFoundError:
            return None

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """All under the folder `prefix`, a page at a time."""
        import obstore

        ours = self._full("")
        with self._asked("list", ""):
            for page in obstore.list(self._client, prefix=self._full(prefix) or None):
                yield from (Entry(key=meta["path"].removeprefix(ours), size=meta["size"]) for meta in page)

    def delete(self, *keys: str) -> None:
        """Delete what is there of `keys`."""
        try:
            self._delete(keys)
        except NotFoundError:  # some stores say so, and then the client library goes no further
            for key in keys:
                with suppress(NotFoundError):
                    self._delete([key])

    def _delete(self, keys: Sequence[str]) -> None:
        import obstore

        with self._asked("delete", ", ".join(keys)):
            obstore.delete(self._client, [self._full(key) for key in keys])

    def sign(self, method: Method, key: str, expires: timedelta = LONGEST_SIGNED) -> str:
        """A URL with which whoever has it may read or write this one key, for at most 7 days.

        One that is signed with a temporary credential ends with it. The store is not asked.
        """
        return self._signed(method, [key], expires)[0]

    def sign_pieces(self, method: Method, key: str) -> Signed:
        """The same for all pieces that there may be under `key`, with what else their requests need."""
        piece = pieces.size(self.address.scheme)
        headers = {"x-ms-blob-type": "BlockBlob"} if (self.address.scheme, method) == ("az", "PUT") else {}
        return Signed.of(self._signed(method, list(pieces.keys(key, piece)), LONGEST_SIGNED), piece, headers)

    def _signed(self, method: Method, keys: Sequence[str], expires: timedelta) -> Sequence[str]:
        import obstore

        if self.address.scheme == "file":
            raise UsageError(f"the folder {self.address.prefix} cannot be reached by URL")
        full = [self._full(key) for key in keys]
        if self.address.scheme == "az" and quote(full[0]) != full[0]:
            # The client library signs the quoted key, and Azure checks the plain one.
            raise UsageError(
                f"{full[0]} cannot be signed for in the store {self.address}",
                hint="use a prefix of letters, digits and . _ - ~ / in `store:` of bodywork.yaml",
            )
        signer = cast("S3Store | GCSStore | AzureStore", self._client)
        with self._asked("sign addresses", keys[0]):
            return obstore.sign(signer, method, full, min(expires, LONGEST_SIGNED))

    def check(self) -> None:
        """Ask the store whether it is there, has the bucket and takes the credential.

        It may be one that cannot list: reading and writing is enough for all else.
        """
        with suppress(DeniedError):
            next(self.list("no-key-begins-so"), None)

    def _full(self, key: str) -> str:
        return self.address.key(key)

    @contextmanager
    def _asked(self, doing: str, key: str) -> Iterator[None]:
        """Turn whatever the store answers into our own errors."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise sentence(error, self.address, doing, key) from error

    def _upload(self, content: IO[bytes], key: str, absent: bool) -> str:
        """Put `content` and return its sha256; with `absent`, a small one only if nothing is there."""
        import obstore

        taken = hashlib.sha256()

        def blocks(block: bytes) -> Iterator[bytes]:
            while block:
                taken.update(block)
                yield block
                block = content.read(BLOCK)

        first = content.read(PART)
        if len(first) < PART:
            taken.update(first)
            self._create(first, key, absent=absent)
            return taken.hexdigest()
        with self._asked("write", key):
            obstore.put(
                self._client,
                self._full(key),
                blocks(first),
                chunk_size=_part(os.fstat(content.fileno()).st_size),
                max_concurrency=PARTS_AT_ONCE,
            )
        return taken.hexdigest()

    def _create(self, content: bytes, key: str, *, absent: bool) -> None:
        """Put `content`, with `absent` only if nothing is there."""
        import obstore

        with self._asked("write", key):
            if absent:
                with suppress(obstore.exceptions.AlreadyExistsError):
                    obstore.put(self._client, self._full(key), content, mode="create")
                    return
                if self.head(key) is not None:
                    return
                # A 409 for another reason (S3: ConditionalRequestConflict): without the condition it is told.
            obstore.put(self._client, self._full(key), content)

    def _download(self, key: str, into: Path, piece: int | None) -> str:
        """Write an object, or all its pieces, to a new file and return the sha256."""
        with into.open("xb") as file, Digesting() as digesting:
            for one in pieces.keys(key, piece):
                if self._append(one, file, digesting) != piece:
                    break
        return digesting.result

    def _append(self, key: str, file: IO[bytes], digesting: Digesting) -> int:
        import obstore

        begun = file.tell()
        with self._asked("read", key):
            for block in obstore.get(self._client, self._full(key)).stream(min_chunk_size=BLOCK):
                digesting.add(memoryview(block))
                file.write(block)
        return file.tell() - begun


def _part(size: int) -> int:
    """Bytes of a part of an object of `size` bytes."""
    return max(PART, -(-size // MOST_PARTS))
