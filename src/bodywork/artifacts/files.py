"""A content-addressed folder: the store of the target local, unless a project names another."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bodywork.artifacts.base import Keeping, Kept, unguarded
from bodywork.errors import MachineError, NotFoundError, StageError
from bodywork.process import identity
from bodywork.stage import archive

BLOCK = 1024 * 1024
NEW = ".new-"
KINDS = ("file", "folder")
OUR_HOME = "set BODYWORK_HOME to a folder that you may write to"


class FileStore:
    """Artifacts as files `<root>/<first two digits>/<digest>.<kind>`, written once and never changed.

    `hint` says what to do when `root` cannot be written to.
    """

    def __init__(self, root: Path, *, keeping: Keeping = unguarded, hint: str = OUR_HOME) -> None:
        self.root = root
        self._keeping = keeping
        self._hint = hint

    def put(self, path: Path) -> str:
        if not path.is_file() and not path.is_dir():
            raise StageError(f"{path.name} is neither a file nor a folder")
        with room_on(self.root, self._hint), self._temporary() as temporary:
            if path.is_dir():
                with temporary.open("w+b") as into:
                    _write_archive(path, into)
                    into.seek(0)
                    digest = f"folder:{_copy(into, None)}"
            else:
                with path.open("rb") as source, temporary.open("wb") as into:
                    digest = f"file:{_copy(source, into)}"
            with self._keeping(digest):
                self._keep(temporary, digest)
        return digest

    def get(self, digest: str, into: Path) -> None:
        kept = self._path(digest)
        if not kept.exists():
            raise NotFoundError(
                f"artifact {digest} is not in the store {self.root}",
                hint="run the stage that makes it again: bodywork deploy",
            )
        into.parent.mkdir(parents=True, exist_ok=True)
        with room_on(into.parent):
            if digest.startswith("folder:"):
                found = _unpack(kept, into)
            else:
                with kept.open("rb") as source, into.open("wb") as target:
                    found = _copy(source, target)
        if found != digest.partition(":")[2]:
            _remove(into)
            raise StageError(
                f"artifact {digest} is damaged: {kept} now has the digest {found}",
                hint=f"delete {kept} and run the stage that makes it again",
            )

    def size(self, digest: str) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def check(self, *, writing: bool) -> None:
        if not writing:
            return
        try:
            with self._temporary():
                pass
        except OSError as error:
            raise MachineError(
                f"the folder {self.root} cannot be written to: {error.strerror}", hint=self._hint
            ) from error

    def kept(self) -> Iterator[Kept]:
        """Also sweeps: what killed commands have half written is nobody's."""
        self._sweep()
        for path in self.root.glob("??/*"):
            kind = path.suffix.removeprefix(".")
            if kind in KINDS:
                with suppress(FileNotFoundError):
                    yield Kept(digest=f"{kind}:{path.stem}", size=path.stat().st_size)

    def remove(self, *digests: str) -> None:
        with room_on(self.root, self._hint):
            for digest in digests:
                self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        kind, _, value = digest.partition(":")
        return self.root / value[:2] / f"{value}.{kind}"

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A new file beside the kept ones, gone at the end unless it was renamed."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        descriptor, name = tempfile.mkstemp(prefix=f"{NEW}{os.getpid()}-", dir=self.root)
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the new files of commands that were killed."""
        for left in self.root.glob(f"{NEW}*"):
            pid = left.name.removeprefix(NEW).partition("-")[0]
            if pid.isdigit() and identity(int(pid)) is None:
                left.unlink(missing_ok=True)

    def _keep(self, temporary: Path, digest: str) -> None:
        kept = self._path(digest)
        kept.parent.mkdir(exist_ok=True)
        temporary.chmod(0o444)
        temporary.replace(kept)


@contextmanager
def room_on(folder: Path, hint: str = OUR_HOME) -> Iterator[None]:
    """Turn a full or read-only disk into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MachineError(
                f"the disk of {folder} is full", hint="free some space and run the same command again"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise MachineError(
                f"cannot write to {error.filename or folder}: {error.strerror}", hint=hint
            ) from error
        if error.errno == errno.ENOENT:
            raise StageError(f"{error.filename} went away while it was being copied") from error
        raise


def _copy(source: IO[bytes], into: IO[bytes] | None) -> str:
    """Copy to the end and return the sha256 of what was copied."""
    digest = hashlib.sha256()
    while block := source.read(BLOCK):
        digest.update(block)
        if into is not None:
            into.write(block)
    return digest.hexdigest()


def _write_archive(folder: Path, into: IO[bytes]) -> None:
    try:
        archive.write(str(folder), into)
    except archive.OutsideError as error:
        raise StageError(f"{error.link} is a link that leads out of the folder: {error.to}") from error


def _unpack(kept: Path, into: Path) -> str:
    """Unpack a kept archive to the folder `into` and return the archive's sha256."""
    with kept.open("rb") as source:
        found = _copy(source, None)
    archive.unpack(str(kept), str(into))
    return found


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
