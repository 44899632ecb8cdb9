"""Write a first bodywork.yaml for a folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bodywork.app.checkout import FILE
from bodywork.app.validate import files_below
from bodywork.errors import MachineError, NotFoundError, UsageError
from bodywork.spec.draft import draft, draft_module
from bodywork.spec.read import read

READ = (".py", ".ipynb", ".txt", ".toml", ".lock")
LARGEST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What would be written: text by path."""

    files: dict[Path, str]


def drafted(folder: Path, name: str | None = None) -> Draft:
    """A commented bodywork.yaml that fits the folder, and a first module when there is none.

    Raises UsageError when there is a bodywork.yaml already: it is never written over.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", hint="make it first, or name another")
    file = folder / FILE
    if file.exists():
        raise UsageError(f"{file} is there already", hint=f"check it with: bodywork validate {folder}")
    listing = {path: _text(folder / path) for path in files_below(folder)}
    # The Python that runs this is one that the machine has for certain.
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = draft(name or folder.resolve().name, listing, version=version)
    files = {file: text}
    project, _ = read(text.encode(), file=str(file), files=None)
    for stage in project.stages:
        if stage.run not in listing:
            files[folder / stage.run] = draft_module(stage.run)
    return Draft(files=files)


def write(what: Draft) -> None:
    """Write the files. Raises MachineError when that is not possible."""
    for path, text in what.files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(text)
        except OSError as error:
            raise MachineError(f"cannot write {path}: {error.strerror}") from error


def in_repository(folder: Path) -> bool:
    """Whether the folder, or one that it lies in, is a Git repository's: `deploy` needs one."""
    here = folder.resolve()
    return any((place / ".git").exists() for place in (here, *here.parents))


def _text(path: Path) -> str | None:
    """The text of a small source file; None for anything else."""
    if path.suffix not in READ or path.stat().st_size > LARGEST:
        return None
    return path.read_text(errors="replace")
