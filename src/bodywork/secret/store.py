"""The folder of secrets: `<root>/[<group>/]<secret>/<KEY>`, files of mode 0600 in folders of mode 0700.

A group and a secret may have the same name: files are keys, folders are secrets of the group.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bodywork.errors import MachineError, NotFoundError, UsageError
from bodywork.secret.names import KEY, NAME, check_key, check_name
from bodywork.secret.value import is_open, read_value

FRESH = ".new-"
"""What files begin with that are being written; no name begins like that."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A secret, without its values: `keys` maps each key to when it was changed (seconds since the epoch).

    `namespace` is where it is in a cluster; None: on this machine.
    """

    name: str
    group: str | None
    keys: Mapping[str, float]
    namespace: str | None = None


class Secrets:
    """The secrets below `root`, which need not be there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, secret: str, key: str, group: str | None = None) -> Path:
        """The file of a key, whether it is there or not. Raises UsageError for what is no name."""
        return self._folder(secret, group) / check_key(key)

    def has(self, secret: str, key: str, group: str | None = None) -> bool:
        return self.path(secret, key, group).is_file()

    def read(self, secret: str, key: str, group: str | None = None) -> str:
        """A key's value. Raises NotFoundError, and UsageError when others can open the file."""
        try:
            return read_value(self.path(secret, key, group), key)
        except NotFoundError:
            raise NotFoundError(
                f"secret {secret} has no key {key}", hint=set_command(secret, key, group)
            ) from None

    def set(self, secret: str, values: Mapping[str, str], group: str | None = None) -> None:
        """Set keys, each at once or not at all; other keys of the secret stay.

        Raises UsageError for what is no name, and MachineError when the disk does not take it.
        """
        paths = {self.path(secret, key, group): value for key, value in values.items()}
        try:
            with self._locked():
                self._make(self._folder(secret, group))
                for path, value in paths.items():
                    _write(path, f"{value}\n".encode())
        except OSError as error:
            raise MachineError(
                f"secret {secret} could not be written: {error.strerror} ({error.filename or self.root})"
            ) from error

    def keys(self, secret: str, key: str | None = None, group: str | None = None) -> list[str]:
        """The keys that a secret has, or just `key`. Raises NotFoundError when there is no such."""
        keys = sorted(self._keys(self._folder(secret, group)))
        if keys and key is None:
            return keys
        if key is not None and check_key(key) in keys:
            return [key]
        what = f"secret {secret} has no key {key}" if keys else f"there is no secret {secret}"
        raise NotFoundError(
            f"{what}{f' in group {group}' if group else ''}", hint="see: bodywork secret list"
        )

    def delete(self, secret: str, key: str | None = None, group: str | None = None) -> list[str]:
        """Delete a key, or all of them; returns which. Raises NotFoundError."""
        folder, gone = self._folder(secret, group), self.keys(secret, key, group)
        with self._locked():
            for name in gone:
                (folder / name).unlink(missing_ok=True)
            for empty in (folder, *([folder.parent] if group else ())):
                with contextlib.suppress(OSError):  # something else is there still
                    empty.rmdir()
        return gone

    def entries(self) -> list[Entry]:
        """All secrets, by group and name; those without a group first."""
        found = []
        for folder in self._folders(self.root):
            found.append(Entry(name=folder.name, group=None, keys=self._keys(folder)))
            found += [
                Entry(name=inner.name, group=folder.name, keys=self._keys(inner))
                for inner in self._folders(folder)
            ]
        return sorted((entry for entry in found if entry.keys), key=lambda e: (e.group or "", e.name))

    def exposed(self) -> list[Path]:
        """The files that others than their owner may open."""
        paths = (self.path(entry.name, key, entry.group) for entry in self.entries() for key in entry.keys)
        return [path for path in paths if is_open(path.stat().st_mode)]

    def _folder(self, secret: str, group: str | None) -> Path:
        above = self.root / check_name(group, "group") if group else self.root
        return above / check_name(secret)

    @staticmethod
    def _folders(folder: Path) -> list[Path]:
        with contextlib.suppress(OSError):
            return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name) and path.is_dir())
        return []

    @staticmethod
    def _keys(folder: Path) -> dict[str, float]:
        with contextlib.suppress(OSError):
            files = sorted(path for path in folder.iterdir() if KEY.fullmatch(path.name) and path.is_file())
            return {path.name: path.stat().st_mtime for path in files}
        return {}

    def _make(self, folder: Path) -> None:
        """Make a secret's folder, and see to what an interrupted command has half written."""
        for each in (folder.parent, folder):
            if each.exists() and not each.is_dir():
                raise UsageError(f"{each} is the key of a secret", hint="choose another name")
            each.mkdir(mode=0o700, exist_ok=True)
        for left in folder.glob(f"{FRESH}*"):
            left.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one command changes secrets at a time."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def set_command(secret: str, key: str, group: str | None = None) -> str:
    """The command that sets a key."""
    return f"bodywork secret set {secret} {key}{f' --group {group}' if group else ''}"


def _write(path: Path, data: bytes) -> None:
    """Replace a file in one step: after a power cut there is the old one or the new one."""
    if path.is_dir():
        raise UsageError(f"{path} is a secret of group {path.parent.name}", hint="choose another key")
    fresh = path.with_name(f"{FRESH}{secrets.token_hex(8)}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
