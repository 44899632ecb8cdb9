"""A commit's files as a folder: what `git clone --recurse-submodules` would check out, without `.git`."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import disk_usage
from tempfile import mkdtemp

from bodywork.errors import MachineError, UnreachableError, UsageError
from bodywork.git.program import GitError, Program

LITTLE = 1_000_000
"""Bytes that are free on a disk that is called full."""

# What a checkout depends on besides the commit is fixed, so that every machine gets the same bytes.
_PLAIN = (
    "core.autocrlf=false",
    "core.eol=lf",
    "core.symlinks=true",
    "core.fileMode=true",
    "core.attributesFile=/dev/null",
    "core.sparseCheckout=false",
)
_LFS = (
    "filter.lfs.smudge=git-lfs smudge -- %f",
    "filter.lfs.process=git-lfs filter-process",
    "filter.lfs.required=true",
)


def export(
    parts: Sequence[tuple[str, Path, str, bool]], into: Path, program: Program, *, repository: str
) -> None:
    """Write commits (folder below `into`, mirror, commit, whether with LFS) as one folder of files."""
    if os.path.lexists(into):
        raise UsageError(f"{into} exists already")
    with _beside(into) as folder:
        files = folder / "files"
        files.mkdir()
        for below, git_dir, commit, lfs in parts:
            if lfs:
                require_lfs(program, repository)
            _check_out(git_dir, commit, _real(files, below), folder / "index", lfs, program, repository)
        files.rename(into)


def has_lfs(program: Program) -> bool:
    return shutil.which("git-lfs", path=program.environment.get("PATH", os.defpath)) is not None


def require_lfs(program: Program, repository: str) -> None:
    if not has_lfs(program):
        raise MachineError(
            f"{repository} keeps files in Git LFS, and git-lfs is not installed on this machine",
            hint="install git-lfs (see https://git-lfs.com) and try again",
        )


def _real(files: Path, below: str) -> Path:
    """The folder of a submodule, which the commit around it must not have made a symlink."""
    folder = files
    for name in Path(below).parts:
        folder /= name
        if folder.is_symlink():
            raise UsageError(f"the submodule {below} lies behind a symlink")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_out(
    git_dir: Path, commit: str, folder: Path, index: Path, lfs: bool, program: Program, repository: str
) -> None:
    index.unlink(missing_ok=True)
    try:
        program.run(
            f"--work-tree={folder}", "read-tree", "-m", "-u", commit,
            git_dir=git_dir, extra={"GIT_INDEX_FILE": str(index)}, settings=(*_PLAIN, *(_LFS if lfs else ())),
        )  # fmt: skip
    except GitError as error:
        # Git says no more than "unable to write file" where a disk is full.
        if "No space left" in error.output or "quota" in error.output or disk_usage(folder).free < LITTLE:
            raise MachineError(
                f"the disk of {folder} is full: the files of {repository} could not be written",
                hint="make room and try again",
            ) from error
        if lfs:
            raise UnreachableError(
                f"files of {repository} that are kept in Git LFS could not be had: {error.output}",
                hint="check with: git lfs fetch",
            ) from error
        raise UsageError(
            f"the files of commit {commit[:12]} of {repository} could not be written: {error.output}"
        ) from error


@contextlib.contextmanager
def _beside(into: Path) -> Iterator[Path]:
    """A folder next to `into`, removed in the end; those of commands that were killed go as well."""
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        for left in into.parent.glob(f".{_escaped(into.name)}.*.part"):
            if not _runs(left.name.split(".")[-3]):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(mkdtemp(prefix=f".{into.name}.{os.getpid()}.", suffix=".part", dir=into.parent))
    except OSError as error:
        raise MachineError(f"{into.parent} cannot be written: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
