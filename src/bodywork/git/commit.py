"""A commit whose files are all on this machine."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath

from bodywork.errors import BodyworkError, NotFoundError, UsageError
from bodywork.git.export import export
from bodywork.git.notes import Record
from bodywork.git.program import GitError, Program, raw, text

SUBMODULE = "160000"
LIST = ("ls-tree", "-r", "-z", "--full-tree")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file, symlink or submodule of a commit; `path` is relative to the repository's root."""

    mode: str
    sha: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One commit of a repository; nothing here needs the network, but for files kept in LFS.

    `repository` is as it was named, without credentials, and an absolute path if it is local;
    `ref` is what was asked for, or the branch; `commit` has 40 hexadecimal digits; `snapshot` says
    that it is uncommitted work, in which `changes` files differ from the commit below it; `folder`
    is the folder inside the repository that was named ("" for its root).
    """

    repository: str
    ref: str
    commit: str
    snapshot: bool = False
    changes: int = 0
    folder: str = ""
    _record: Record = field(repr=False, compare=False)
    _git_dir: Path = field(repr=False, compare=False)
    _program: Program = field(repr=False, compare=False)
    _submodules: Mapping[str, Commit] = field(default_factory=dict, repr=False, compare=False)

    def read(self, path: str) -> bytes:
        """A file's content. Symlinks are followed inside the repository.

        Raises NotFoundError when there is no such file, UsageError for a folder or a path that
        leaves the repository.
        """
        name = _inside(path)
        for below, submodule in self._submodules.items():
            if name.startswith(f"{below}/"):
                return submodule.read(name.removeprefix(f"{below}/"))
        asked = raw(f"{self.commit}:{name}")
        answer, _, rest = self._run("cat-file", "--batch", "--follow-symlinks", data=asked + b"\n").partition(
            b"\n"
        )
        words = answer.split()
        if len(words) == 3 and words[1] == b"blob":
            return rest[: int(words[2])]
        if (len(words) == 3 and words[1] == b"tree") or name in self._submodules or not name:
            raise UsageError(
                f"{path} is a folder at commit {self.commit[:12]}, not a file",
                hint="name a file in it",
            )
        raise self._no_file(path, name, words[0])

    def _no_file(self, path: str, name: str, answer: bytes) -> BodyworkError:
        if answer == b"symlink":
            return UsageError(f"{path} is a symlink that leaves the repository")
        if answer in (b"dangling", b"loop"):
            return NotFoundError(f"{path} is a symlink that leads nowhere at commit {self.commit[:12]}")
        return NotFoundError(
            f"there is no file {path} at commit {self.commit[:12]} of {self.repository}",
            hint=_nearest(name, self.files()),
        )

    def files(self, folder: str = "") -> tuple[str, ...]:
        """All files below a folder of the repository, relative to it, sorted; submodules' included.

        Raises NotFoundError when there is no such folder.
        """
        name = _inside(folder)
        start = f"{name}/" if name else ""
        found = [path.removeprefix(start) for path in self._paths if path.startswith(start)]
        if name and not found:
            raise self._no_folder(folder, name)
        return tuple(found)

    def digest(self, folder: str = "", *, without: Collection[str] = ()) -> str:
        """A digest (SHA-256) of all files below a folder: their modes, contents and paths in it.

        `without` are paths in the repository that do not count. Raises NotFoundError when there
        is no such folder.
        """
        name = _inside(folder)
        start = f"{name}/" if name else ""
        left_out = {_inside(path) for path in without}
        for root, submodule in self._submodules.items():
            if name == root or name.startswith(f"{root}/"):
                inner = {path.removeprefix(f"{root}/") for path in left_out if path.startswith(f"{root}/")}
                return submodule.digest(name.removeprefix(root).lstrip("/"), without=inner)
        below = [entry for entry in self._entries if entry.path.startswith(start)]
        if name and not below:
            raise self._no_folder(folder, name)
        result = hashlib.sha256()
        for entry in below:
            if entry.path not in left_out:
                result.update(raw(f"{entry.mode} {entry.sha} {entry.path.removeprefix(start)}\0"))
        return result.hexdigest()

    def changed(self, paths: Sequence[str]) -> datetime:
        """When (UTC) the newest commit, up to this one, that touched one of `paths` was committed.

        Falls back to this commit's date. Where the history is cut off (a shallow repository), its
        oldest commit counts as the one that made all files: `cut_off` says whether that is so.
        """
        said = self._newest("%ct", paths)
        return datetime.fromtimestamp(int(said), UTC) if said else self.date()

    def cut_off(self, paths: Sequence[str]) -> bool:
        """Whether the history ends at the commit that `changed` took: an older one may be right."""
        ends = self._git_dir / "shallow"
        return ends.exists() and self._newest("%H", paths) in ends.read_text().split()

    def _newest(self, what: str, paths: Sequence[str]) -> str:
        """What `git log` says of the newest commit that touched one of `paths`; empty: none did."""
        names = [_inside(path) for path in paths]
        if not names:
            return ""
        log = ("log", "-1", f"--format={what}", "--no-show-signature", self.commit, "--", *names)
        return text(self._run(*log)).strip()

    def date(self) -> datetime:
        """When it was committed (UTC)."""
        return datetime.fromtimestamp(self._record.date, UTC)

    def export(self, into: Path) -> None:
        """Write all its files, and those of its submodules, into a new folder `into`.

        The folder appears when it is whole; it holds no `.git`. Raises MachineError when files are
        kept in LFS and git-lfs is not installed, UsageError when `into` exists.
        """
        export(self._parts(), into, self._program, repository=self.repository)

    def _parts(self, below: str = "") -> list[tuple[str, Path, str, bool]]:
        """Where, from which mirror, which commit, whether with LFS: itself, then its submodules."""
        parts = [(below, self._git_dir, self.commit, self._record.lfs)]
        for path, submodule in self._submodules.items():
            parts += submodule._parts(f"{below}/{path}" if below else path)
        return parts

    @cached_property
    def _entries(self) -> tuple[Entry, ...]:
        return entries(self._run(*LIST, self.commit))

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        paths = [entry.path for entry in self._entries if entry.mode != SUBMODULE]
        for path, submodule in self._submodules.items():
            paths += [f"{path}/{below}" for below in submodule.files()]
        return tuple(sorted(paths))

    def _no_folder(self, folder: str, name: str) -> NotFoundError:
        folders = {parent.as_posix() for path in self._paths for parent in PurePosixPath(path).parents}
        return NotFoundError(
            f"there is no folder {folder} at commit {self.commit[:12]} of {self.repository}",
            hint=_nearest(name, sorted(folders - {"."})),
        )

    def _run(self, *arguments: str, data: bytes = b"") -> bytes:
        try:
            return self._program.run(*arguments, git_dir=self._git_dir, data=data)
        except GitError as error:
            raise UsageError(
                f"commit {self.commit[:12]} of {self.repository} cannot be read: {error.output}",
                hint=f"if the copy is damaged, remove {self._git_dir} and run the command again",
            ) from error


def entries(listing: bytes) -> tuple[Entry, ...]:
    """What `git` with the arguments LIST prints: files, symlinks and submodules, in git's order."""
    found = []
    for line in text(listing).split("\0"):
        if line:
            facts, _, path = line.partition("\t")
            mode, _, sha = facts.split(" ")
            found.append(Entry(mode=mode, sha=sha, path=path))
    return tuple(found)


def _inside(path: str) -> str:
    """A path as git has it. Raises UsageError when it is not one inside the repository."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\n" in path or "\0" in path:
        raise UsageError(f"{path!r} is not a path inside the repository", hint="name it relative to the root")
    return "" if pure == PurePosixPath() else pure.as_posix()


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """A hint that names the nearest of `names`, or the one that differs only in its folder."""
    same = [other for other in names if PurePosixPath(other).name == PurePosixPath(name).name]
    near = difflib.get_close_matches(name, names, n=1) or same[:1]
    return f"did you mean {near[0]}?" if near else None
