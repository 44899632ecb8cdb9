"""Addresses of stores: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, a folder.

An S3 server other than Amazon's can be named in the address itself, so that a project says
completely where its artifacts are: `s3://models/iris?endpoint=https://minio.example.org&region=eu-1`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from bodywork.errors import UsageError

Scheme = Literal["s3", "gs", "az", "file"]
CLOUDS = ("s3", "gs", "az")
OPTIONS = ("endpoint", "region")
SECRET = "bodywork-store"
"""The secret in which a user may keep the credential of a store; its keys are variables."""
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
EXAMPLE = (
    "write it like s3://my-bucket/iris, gs://my-bucket/iris, az://my-container/iris or file:///srv/artifacts"
)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a store is. `bucket` is empty for a folder, whose path is then `prefix`, absolute."""

    scheme: Scheme
    bucket: str = ""
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address. Raises UsageError for what is none."""
        if "://" not in text:
            return cls(scheme="file", prefix=_absolute(text, text))
        parts = urlsplit(text)
        if parts.scheme == "file":
            return cls(scheme="file", prefix=_absolute(unquote(parts.netloc + parts.path), text))
        if parts.scheme not in CLOUDS:
            raise UsageError(f"store {text}: {parts.scheme}:// is no kind of store", hint=EXAMPLE)
        if "@" in parts.netloc:  # never repeated: it may be a key
            raise UsageError(
                f"the address of a store holds no credential: {parts.scheme}://...@...",
                hint="keep keys in the environment, in a profile or in a secret",
            )
        if not BUCKET.fullmatch(parts.netloc):
            raise UsageError(
                f"store {text}: {parts.netloc or 'nothing'} is no name of a bucket", hint=EXAMPLE
            )
        options = _options(parts.query, text)
        return cls(
            scheme=cast(Scheme, parts.scheme),
            bucket=parts.netloc,
            prefix=_prefix(unquote(parts.path), text),
            endpoint=options.get("endpoint"),
            region=options.get("region"),
        )

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file://{quote(self.prefix)}"
        given = [(name, value) for name in OPTIONS if (value := getattr(self, name))]
        query = "&".join(f"{name}={quote(value, safe='/:')}" for name, value in given)
        path = f"/{quote(self.prefix)}" if self.prefix else ""
        return f"{self.scheme}://{self.bucket}{path}{'?' if query else ''}{query}"

    def key(self, *parts: str) -> str:
        """The key of an object in the bucket, under the prefix."""
        return "/".join((self.prefix, *parts) if self.prefix and self.scheme != "file" else parts)

    def at(self, endpoint: str) -> Address:
        """The same bucket and prefix behind another endpoint."""
        return replace(self, endpoint=endpoint)


def _absolute(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"store {text}: the path of a folder begins with /", hint=EXAMPLE)
    return path


def _prefix(path: str, text: str) -> str:
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise UsageError(f"store {text}: a prefix has no . and .. in it", hint=EXAMPLE)
    return "/".join(parts)


def _options(query: str, text: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in OPTIONS:
            raise UsageError(f"store {text}: no option {name}", hint=f"its options: {', '.join(OPTIONS)}")
        if name == "endpoint" and not value.startswith(("http://", "https://")):
            raise UsageError(f"store {text}: the endpoint begins with http:// or https://, not {value}")
    return options
