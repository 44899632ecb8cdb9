"""The files that all pods of a run are given: the project, its locks and the runtime, as one Secret.

Pods then need no Git, and one that starts in a year gets exactly these bytes. A Secret takes up to
1 MiB; a project that does not fit is fetched by a container of its own, see `containers.fetched`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bodywork import stage as runtime
from bodywork.environment import Lock
from bodywork.errors import UsageError
from bodywork.run.plan import Plan
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.launch import ARCHIVE, lock_key
from bodywork.targets.kubernetes.settings import Settings

CONTENT = f"{labels.PREFIX}content"
SOURCE = "source"
LARGEST = 2**20
"""Bytes that all values of a Secret may have together."""
LARGEST_PROJECT = 900_000


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files by name. `whole`: the project is among them."""

    files: Mapping[str, bytes] = field(repr=False)

    @property
    def whole(self) -> bool:
        return ARCHIVE in self.files

    @property
    def name(self) -> str:
        """Says what is in it: the same files, the same Secret."""
        digest = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        return f"{SOURCE}-{digest.hexdigest()[:16]}"


def gather(project: Path, locks: Iterable[Lock]) -> Source:
    """The files for pods of stages with these locks; `project` is the folder of bodywork.yaml.

    The project is left out if it is too big. Raises UsageError when the rest alone is.
    """
    files = {**runtime_files(), **{lock_key(lock): packed(lock.text.encode()) for lock in locks}}
    room = LARGEST - sum(map(len, files.values()))
    if room < 0:
        raise UsageError(
            f"the locks of these stages have {LARGEST - room:,} bytes, and a Secret takes {LARGEST:,}",
            hint="give stages that need the same packages the same `requirements`",
        )
    whole = archive(project, most=min(room, LARGEST_PROJECT))
    return Source(files={**files, ARCHIVE: whole} if whole is not None else files)


def source_secret(plan: Plan, source: Source, settings: Settings) -> Object:
    """A Secret that nobody changes any more, shared by all runs that have the same files."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": source.name,
            "namespace": settings.namespace,
            "labels": {**labels.of_pipeline(plan.project), CONTENT: SOURCE},
        },
        "type": "Opaque",
        "immutable": True,
        "data": {name: base64.b64encode(data).decode() for name, data in sorted(source.files.items())},
    }


def runtime_files() -> dict[str, bytes]:
    """What runs inside a stage's pod: the modules of `bodywork.stage`."""
    folder = Path(runtime.__file__).parent
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.py")) if path.stem != "__init__"}


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def archive(folder: Path, *, most: int | None = None) -> bytes | None:
    """A folder as tar.gz; the same files make the same bytes. None: it would have more than `most`.

    Of a file's mode only the right to execute is kept, as by Git; symlinks stay what they are.
    """
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            _add(tar, path, path.relative_to(folder).as_posix())
            if most is not None and buffer.tell() > most:
                return None
    data = buffer.getvalue()
    return None if most is not None and len(data) > most else data


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
