"""What stages in a cluster put into a store: by signed addresses, and what is too large for one in pieces.

One request can put 5 GiB into S3, and 5000 MiB into Azure. Parts of one upload can be signed for only
when it has begun, and by who holds the credential, which stages do not. So a large artifact is kept
as several objects: `model`, `model.2`, `model.3` ... An object of exactly PIECE bytes is followed by
another one, so whoever reads needs to know nothing else; the digest is that of the whole. Addresses
of all pieces that there may be are given out beforehand, packed, since they differ in little.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bodywork.artifacts.address import Scheme

PIECE = 4 << 30
"""Bytes. Those that have put something in pieces of a size must be read with the same."""
MOST = 25


@dataclass(frozen=True, kw_only=True)
class Signed:
    """Where a stage puts or gets one artifact.

    `more` are the addresses of the pieces after the first, packed; `piece` is their size in bytes
    (None: all is one object). `headers` go with each request.
    """

    url: str
    more: str = ""
    piece: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, urls: Sequence[str], piece: int | None, headers: dict[str, str]) -> Signed:
        more = base64.b64encode(zlib.compress("\n".join(urls[1:]).encode(), 9)).decode() if urls[1:] else ""
        return cls(url=urls[0], more=more, piece=piece, headers=headers)


def size(scheme: Scheme) -> int | None:
    """Bytes of a piece in such a store; None: it takes 5 TB at once."""
    return None if scheme == "gs" else PIECE


def keys(key: str, piece: int | None) -> Iterator[str]:
    """Those of all pieces of an artifact that is kept under `key`."""
    yield key
    if piece is not None:
        yield from (f"{key}.{number}" for number in range(2, MOST + 1))
