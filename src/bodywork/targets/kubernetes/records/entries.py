"""Texts under keys of a ConfigMap, short ones readable, long ones compressed, events by number.

An object is written anew, all of it, with each key that it gets, and none may grow past what an
API server and etcd take well: hence compression, and hence `full`, which says when the next event
belongs into the next object. That depends only on what is in the object, not on the event that
comes: two commands that have read the same agree on where the next event goes, and the second one
to write it is refused.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bodywork.targets.kubernetes.kinds import Object

FULL = 12_000
"""Size of the events of an object, in bytes of JSON, from which on it takes no more of them."""

LONG = 4_000
"""Characters from which on a text is compressed."""

OVERHEAD = 80
"""What a key costs besides its value: its name, here and in the server's list of field owners."""

EVENT = re.compile(r"\d{8}")


def packed(texts: Mapping[str, str], *, plain: Mapping[str, str] = MappingProxyType({})) -> Object:
    """The `data` and `binaryData` that hold these texts.

    What will change has to be in `plain`, which is never compressed: no key may be in both places.
    """
    parts: Object = {"data": dict(plain), "binaryData": {}}
    for key, text in texts.items():
        if len(text) < LONG:
            parts["data"][key] = text
        else:
            parts["binaryData"][key] = compressed(text.encode())
    return {name: values for name, values in parts.items() if values}


def text_of(obj: Object, key: str) -> str | None:
    """The text under a key of an object, None where there is none."""
    text: str | None = obj.get("data", {}).get(key)
    if text is None and key in obj.get("binaryData", {}):
        return expanded(obj["binaryData"][key]).decode()
    return text


def contents(obj: Object) -> dict[str, str]:
    """All keys with their values as they are stored."""
    return {**obj.get("data", {}), **obj.get("binaryData", {})}


def event_key(number: int) -> str:
    return f"{number:08d}"


def event_keys(obj: Object) -> list[str]:
    """The keys of an object that hold events, in their order."""
    return sorted(key for key in contents(obj) if EVENT.fullmatch(key))


def full(obj: Object) -> bool:
    """Whether the next event belongs into another object."""
    values = contents(obj)
    return sum(len(json.dumps(values[key])) + OVERHEAD for key in event_keys(obj)) >= FULL


def compressed(content: bytes) -> str:
    """For `binaryData`; the same bytes always give the same text."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def expanded(value: str) -> bytes:
    return gzip.decompress(base64.b64decode(value))


def split(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def joined(values: Iterable[str]) -> bytes:
    """The bytes of which `split` and base64 have made these values."""
    return b"".join(base64.b64decode(value) for value in values)
