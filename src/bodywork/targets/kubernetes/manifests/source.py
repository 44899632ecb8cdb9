"""The files that all pods of a run are given: the project, its locks and the runtime, as one Secret.

Pods then need no Git, and one that starts in a year gets exactly these bytes. A Secret takes up to
1 MiB; a project that does not fit is fetched by a container of its own, see `containers.fetched`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import math
import re
import stat
import tarfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bodywork import stage as runtime
from bodywork.environment import Lock
from bodywork.environment.wheels import VARIABLE
from bodywork.errors import UsageError
from bodywork.run.plan import Plan
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.launch import ARCHIVE, WHEELS, lock_file, lock_key
from bodywork.targets.kubernetes.manifests.locks import decoded_lock, encoded_lock
from bodywork.targets.kubernetes.settings import Settings

if TYPE_CHECKING:
    from typing_extensions import Buffer

CONTENT = f"{labels.PREFIX}content"
SOURCE = "source"
LOCKS = "locks.json.gz"
"""What is known of each lock besides its text, by digest: a command elsewhere can go on with the run."""
LARGEST = 2**20
"""Bytes that all values of a Secret may have together."""
LARGEST_PROJECT = 900_000
KEPT = re.compile(rf"\$\{{{VARIABLE}\}}/([0-9a-f]{{64}})")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files by name. `whole`: the project is among them."""

    files: Mapping[str, bytes] = field(repr=False)

    @property
    def whole(self) -> bool:
        return ARCHIVE in self.files

    def locks(self) -> dict[str, Lock]:
        """The locks that it was gathered from, by digest."""
        facts = json.loads(gzip.decompress(self.files.get(LOCKS, packed(b"{}"))))
        return {
            digest: decoded_lock(said, gzip.decompress(self.files[lock_file(digest)]).decode())
            for digest, said in facts.items()
        }

    @property
    def name(self) -> str:
        """Says what is in it: the same files, the same Secret."""
        digest = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        return f"{SOURCE}-{digest.hexdigest()[:16]}"


def gather(project: Path, locks: Collection[Lock], *, wheels: Path | None = None) -> Source:
    """The files for pods of stages with these locks; `project` is the folder of bodywork.yaml.

    `wheels` is the folder of packages that are made of files of the project. The project is left
    out if it is too big. Raises UsageError when the rest alone is.
    """
    files = {**runtime_files(), **{lock_key(lock): packed(lock.text.encode()) for lock in locks}}
    files[LOCKS] = packed(json.dumps({lock.digest: encoded_lock(lock) for lock in locks}).encode())
    kept = kept_wheels(wheels, locks) if wheels else {}
    room = LARGEST - sum(map(len, files.values()))
    if room < 0:
        raise UsageError(
            f"the locks of these stages have {LARGEST - room:,} bytes, and a Secret takes {LARGEST:,}",
            hint="give stages that need the same packages the same `requirements`",
        )
    whole = archive(project, kept, most=min(room, LARGEST_PROJECT))
    if whole is None and kept:
        raise UsageError(
            "on Kubernetes a project with packages of its own may have "
            f"{LARGEST_PROJECT:,} bytes when it is compressed, and this one has more",
            hint="take large files out of the repository, or name its packages by their Git address",
        )
    return Source(files={**files, ARCHIVE: whole} if whole is not None else files)


def source_secret(plan: Plan, source: Source, settings: Settings) -> Object:
    """A Secret that nobody changes any more, shared by all runs that have the same files."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": source.name,
            "namespace": settings.namespace,
            "labels": {
                **labels.of_pipeline(plan.project),
                CONTENT: SOURCE,
                labels.COMMIT: plan.source.commit,
            },
        },
        "type": "Opaque",
        "immutable": True,
        "data": {name: base64.b64encode(data).decode() for name, data in sorted(source.files.items())},
    }


def source_in(secret: Object) -> Source:
    """What `source_secret` put into a Secret."""
    return Source(files={name: base64.b64decode(data) for name, data in secret["data"].items()})


def runtime_files() -> dict[str, bytes]:
    """What runs inside a stage's pod: the modules of `bodywork.stage`."""
    folder = Path(runtime.__file__).parent
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.py")) if path.stem != "__init__"}


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def kept_wheels(folder: Path, locks: Iterable[Lock]) -> dict[str, Path]:
    """The files below the folder of kept wheels that locks name, by their paths in the project."""
    named = {digest for lock in locks for digest in KEPT.findall(lock.text)}
    files = (path for digest in sorted(named) for path in sorted((folder / digest).iterdir()))
    return {f"{WHEELS}/{path.parent.name}/{path.name}": path for path in files}


class _FullError(Exception):
    """There would be more bytes than there may be."""


class _Buffer(io.BytesIO):
    """Takes at most so many bytes, so that a huge project is not packed to its end."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Buffer) -> int:
        if self.tell() + memoryview(data).nbytes > self._most:
            raise _FullError
        return super().write(data)


def archive(
    folder: Path, more: Mapping[str, Path] = MappingProxyType({}), *, most: float = math.inf
) -> bytes | None:
    """A folder as tar.gz; the same files make the same bytes. None: it would have more than `most`.

    `more` are other files by their paths in there. Of a file's mode only the right to execute is
    kept, as by Git; symlinks stay what they are.
    """
    inside = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    buffer = _Buffer(most)
    try:
        with (
            gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, path in {**inside, **more}.items():
                _add(tar, path, name)
    except _FullError:
        return None
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add one entry without what differs between machines: times, owners, other bits of its mode."""
    entry, facts = tarfile.TarInfo(name), path.lstat()
    entry.mode = 0o755 if facts.st_mode & stat.S_IXUSR else 0o644
    if path.is_symlink():
        entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
        tar.addfile(entry)
    elif path.is_dir():
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    else:
        entry.size = facts.st_size
        with path.open("rb") as file:
            tar.addfile(entry, file)
