"""Check a bodywork.yaml without running anything: of a folder, a file or a repository at a ref."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bodywork.app.checkout import FILE, check_out
from bodywork.app.git_access import GitAccess, git_for
from bodywork.app.parts import Parts
from bodywork.errors import NotFoundError, Problem, UsageError
from bodywork.spec.model import Project
from bodywork.spec.read import read


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A file that has no errors; `warnings` are what is odd in it all the same."""

    file: str
    project: Project
    warnings: tuple[Problem, ...]


def validate(
    parts: Parts, location: str, *, ref: str | None, file: str | None, access: GitAccess | None = None
) -> Validated:
    """Read and check. Raises SpecError with every error of the file, NotFoundError, UnreachableError.

    A folder is checked as it stands on the disk; a URL, or any location with a `ref`, is fetched.
    """
    path = Path(location)
    if ref is None and path.exists():
        return _on_disk(path, file)
    if ref is None and _looks_like_a_path(location):
        missing = path.suffix in (".yaml", ".yml") and path.parent.is_dir()
        hint = f"write one with: bodywork init {path.parent}" if missing else "name an existing one, or a URL"
        raise NotFoundError(f"there is no file or folder {location}", hint=hint)
    checkout = check_out(
        git_for(parts, access or GitAccess(), location), location, ref=ref, file=file, offline=False
    )
    return Validated(file=checkout.source.file, project=checkout.project, warnings=checkout.warnings)


def _on_disk(path: Path, file: str | None) -> Validated:
    if path.is_dir():
        path = path / (file or FILE)
        if not path.exists():
            raise NotFoundError(f"there is no {path}", hint=f"write one with: bodywork init {path.parent}")
    elif file is not None:
        raise UsageError(f"{path} is a file, so --file {file} has no meaning")
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file", hint=f"name the file, like {path}/{FILE}")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    project, warnings = read(text, file=str(path), files=files_below(path.parent))
    return Validated(file=str(path), project=project, warnings=warnings)


def files_below(folder: Path) -> list[str]:
    """All files of a folder, with forward slashes, without hidden folders and environments."""
    found: list[str] = []
    for base, folders, files in os.walk(folder):
        here = Path(base)
        folders[:] = [
            name for name in folders if not name.startswith(".") and not (here / name / "pyvenv.cfg").exists()
        ]
        found.extend((here / name).relative_to(folder).as_posix() for name in files)
    return found


def _looks_like_a_path(location: str) -> bool:
    return location.startswith((".", "/", "~")) or location.endswith((".yaml", ".yml"))
