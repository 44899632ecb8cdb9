"""Secrets of the local target: files of mode 0600, one per key."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bodywork.errors import NotFoundError


class Secrets:
    """Secrets as files `<root>/[<group>/]<secret>/<KEY>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, secret: str, key: str, group: str | None = None) -> Path:
        """The file that holds a key's value, whether it is there or not."""
        folder = self.root / group if group else self.root
        return folder / secret / key

    def missing(self, wanted: Iterable[tuple[str, str]], group: str | None = None) -> list[Path]:
        """The files, of (secret, key) pairs, that are not there."""
        paths = (self.path(secret, key, group) for secret, key in wanted)
        return [path for path in paths if not path.is_file()]

    def read(self, secret: str, key: str, group: str | None = None) -> str:
        """A key's value, without the newline that editors put at the end. Raises NotFoundError."""
        path = self.path(secret, key, group)
        try:
            return path.read_text().removesuffix("\n")
        except FileNotFoundError:
            raise NotFoundError(
                f"secret {secret} has no key {key}",
                hint=f"write the value to {path} (a file that only you can read: chmod 600)",
            ) from None
