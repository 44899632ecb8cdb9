"""A repository on this machine, and its uncommitted work as a commit of its own.

The snapshot is made through a copy of the index, and its objects go straight into our mirror: in
the user's repository nothing at all is written, so it may be read-only, and its branches, index,
stash and objects are what they were.
"""

from __future__ import annotations

import contextlib
import difflib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from bodywork.errors import NotFoundError, UsageError
from bodywork.git.failure import explain
from bodywork.git.location import Location, shown
from bodywork.git.mirror import Mirror
from bodywork.git.notes import Record
from bodywork.git.program import GitError, Program, text

Git = Callable[..., str]
"""git on the copied index: arguments to what it prints."""

_NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bodywork"), ("EMAIL", "bodywork@localhost"))
}


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A repository as git finds it around a folder. `top` is None where there are no files (bare).

    `prefix` is the folder's path below `top`, "" for `top` itself; `objects` is where the
    repository's objects are, which all its linked working trees share.
    """

    git_dir: Path
    objects: Path
    top: Path | None
    prefix: str

    @property
    def place(self) -> Path:
        return self.top or self.git_dir

    @property
    def location(self) -> Location:
        return Location(name=str(self.place), scheme="path")


@dataclass(frozen=True, kw_only=True)
class Status:
    """`head` is None before the first commit, `branch` "HEAD" on none."""

    head: str | None
    branch: str
    dirty: bool
    inside: tuple[str, ...]
    """Submodules with uncommitted changes of their own, which no commit can hold."""


def find(location: Location, program: Program) -> Checkout:
    """The repository around a folder. Raises NotFoundError, and UsageError for another owner's."""
    path = Path(location.name)
    if not path.exists():
        raise _nowhere(path)
    if not path.is_dir():
        raise NotFoundError(f"{shown(str(path))} is a file, not a Git repository", hint="name its folder")
    questions = ("--absolute-git-dir", "--git-common-dir", "--is-inside-work-tree")
    try:
        lines = text(program.run("rev-parse", *questions, cwd=path)).splitlines()
        git_dir, common, inside = Path(lines[0]), lines[1], lines[2] == "true"
        top, prefix = None, ""
        if inside:
            shape = text(program.run("rev-parse", "--show-toplevel", "--show-prefix", cwd=path)).split("\n")
            top, prefix = Path(shape[0]), shape[1].rstrip("/")
    except GitError as error:
        raise explain(error, location) from error
    objects = (path / common).resolve() / "objects"
    return Checkout(git_dir=git_dir, objects=objects, top=top, prefix=prefix)


def _nowhere(path: Path) -> NotFoundError:
    parent = path.parent
    names = [entry.name for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"did you mean {parent / near[0]}?" if near else "name an existing folder, or a URL"
    return NotFoundError(f"there is no folder {shown(str(path))}", hint=hint)


def status(checkout: Checkout, program: Program) -> Status:
    """What is committed and what is not."""
    try:
        out = program.run(
            "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all",
            "--no-renames", "--ignore-submodules=none", cwd=checkout.top,
        )  # fmt: skip
    except GitError as error:
        raise explain(error, checkout.location) from error
    fields: dict[str, str] = {}
    dirty, inside = False, []
    for entry in text(out).split("\0"):
        if entry.startswith("# "):
            key, _, value = entry[2:].partition(" ")
            fields[key] = value
        elif entry and _only_inside(entry):
            inside.append(entry.split(" ", 8)[8])
        elif entry:
            dirty = True
    head = fields["branch.oid"]
    branch = fields["branch.head"]
    return Status(
        head=None if head == "(initial)" else head,
        branch="HEAD" if branch == "(detached)" else branch,
        dirty=dirty,
        inside=tuple(inside),
    )


def _only_inside(entry: str) -> bool:
    """Whether an entry tells of nothing but uncommitted work inside a submodule (S.M., S..U, S.MU)."""
    words = entry.split(" ", 3)
    return words[0] == "1" and words[1] == ".M" and words[2].startswith("S.")


def snapshot(checkout: Checkout, over: Status, mirror: Mirror, program: Program) -> tuple[str, Record] | None:
    """Make the working tree a commit in the mirror, which has `over.head` already.

    To be called while `mirror.writing()`. Returns None when its files are those of the commit
    after all. The same files over the same commit give the same commit.
    """

    def git(*arguments: str, data: bytes = b"", extra: Mapping[str, str] = _NOBODY) -> str:
        return text(program.run(*arguments, cwd=checkout.top, data=data, extra={**variables, **extra}))

    head = over.head or ""
    try:
        with _apart(checkout, mirror) as variables:
            git("add", "--all")
            tree = git("write-tree").strip()
            names = _changed(git, head, tree)
            if not names:
                return None
            commit = mirror.notes.snapshot_of(head, tree)
            if commit is not None and (record := mirror.notes.record(commit)):
                return commit, record
            if commit is None:
                commit = _commit(git, checkout, head, tree, names)
                _hand_over(git, commit, head, mirror)
        date = int(mirror.run("log", "-1", "--format=%ct", "--no-show-signature", commit))
        mirror.protect(commit)
    except GitError as error:
        raise _unfit(error, checkout) from error
    mirror.notes.keep_snapshot(head, tree, commit)
    return commit, Record(date=date, snapshot=True, changes=len(names), branch=over.branch)


@contextlib.contextmanager
def _apart(checkout: Checkout, mirror: Mirror) -> Iterator[Mapping[str, str]]:
    """Variables that make git work on a copy of the index and write objects to a folder of ours."""
    folder = Path(mkdtemp(prefix="tmp-", dir=mirror.path / "bodywork"))
    try:
        with contextlib.suppress(FileNotFoundError):
            # With its time: git looks into files that are no older than the index.
            shutil.copy2(checkout.git_dir / "index", folder / "index")
        (folder / "objects").mkdir()
        others = (checkout.objects, mirror.path / "objects")
        yield {
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(_quoted(path) for path in others),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quoted(path: Path) -> str:
    """A path for a list that is separated by colons, quoted as git(1) asks for it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _changed(git: Git, head: str, tree: str) -> list[str]:
    if head:
        listing = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", head, tree)
    else:
        listing = git("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree)
    return [name for name in listing.split("\0") if name]


def _commit(git: Git, checkout: Checkout, head: str, tree: str, names: list[str]) -> str:
    """Dated by its newest file, but never before the commit it stands on."""
    times = [int(git("log", "-1", "--format=%ct", "--no-show-signature", head)) if head else 0]
    for name in names:
        with contextlib.suppress(OSError):
            times.append(int((checkout.place / name).lstat().st_mtime))
    date = f"@{max(times)} +0000"
    parents = ("-p", head) if head else ()
    dates = {**_NOBODY, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    return git(
        "commit-tree", tree, *parents, "-m", "Uncommitted work, as it was deployed", extra=dates
    ).strip()


def _hand_over(git: Git, commit: str, head: str, mirror: Mirror) -> None:
    """All that the mirror lacks of a commit: also what the user's `git add` had stored already."""
    wanted = f"{commit}\n^{head}\n" if head else f"{commit}\n"
    git("pack-objects", "--quiet", "--revs", str(mirror.path / "objects/pack/pack"), data=wanted.encode())


def _unfit(error: GitError, checkout: Checkout) -> Exception:
    if "does not have a commit checked out" in error.output:
        return UsageError(
            f"{checkout.place} holds another repository without any commit: {error.output.splitlines()[0]}",
            hint="commit something there, or name that folder in .gitignore",
        )
    if "Permission denied" in error.output or "adding files failed" in error.output:
        return UsageError(
            f"the uncommitted work in {checkout.place} cannot be read: {error.output.splitlines()[0]}",
            hint="make the file readable, or name it in .gitignore",
        )
    return explain(error, checkout.location)


def warn(status: Status, progress: Callable[[str], None]) -> None:
    """Say what a snapshot cannot hold."""
    for path in status.inside:
        progress(f"submodule {path} has uncommitted changes, which are left out: commit them there first")
