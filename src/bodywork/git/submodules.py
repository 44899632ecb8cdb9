"""What a commit needs besides its own files: submodules, and files in LFS.

A submodule is opened like any repository, with a mirror of its own. One at a local path or
file:// address is taken only if the repository around it is local as well: otherwise a remote
repository could have files of this machine copied. A submodule that .gitmodules does not name, or
that has `update = none`, is an empty folder, as `git clone` leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from bodywork.errors import UsageError
from bodywork.git.commit import LIST, SUBMODULE, Entry, entries
from bodywork.git.export import has_lfs
from bodywork.git.location import Location, beside, parse, shown
from bodywork.git.mirror import Mirror
from bodywork.git.notes import Record
from bodywork.git.program import GitError, Program, text
from bodywork.git.worktree import Checkout

_POINTER = "^version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, kw_only=True)
class Submodule:
    """A submodule as a commit records it; `url` is as .gitmodules has it."""

    path: str
    url: str
    commit: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found in a commit; `known` is what is known already (of snapshots)."""

    declared: tuple[Submodule, ...]
    known: Record

    def record(self, submodules: Mapping[str, tuple[str, str]]) -> Record:
        return replace(self.known, submodules=submodules)


def inspect(mirror: Mirror, commit: str, record: Record | None, program: Program) -> Facts:
    """Look for submodules and LFS files in a commit, and fetch the latter. Raises GitError."""
    found = entries(mirror.run(*LIST, commit))
    date = int(mirror.run("log", "-1", "--format=%ct", "--no-show-signature", commit))
    known = replace(record or Record(date=date), lfs=_in_lfs(mirror, commit, found))
    if known.lfs and has_lfs(program):
        mirror.run("lfs", "fetch", "origin", commit, location=mirror.location)
    return Facts(declared=_declared(mirror, commit, found), known=known)


def _declared(mirror: Mirror, commit: str, found: tuple[Entry, ...]) -> tuple[Submodule, ...]:
    recorded = {entry.path: entry.sha for entry in found if entry.mode == SUBMODULE}
    if not recorded or not any(entry.path == ".gitmodules" for entry in found):
        return ()
    said = text(mirror.run("config", "--blob", f"{commit}:.gitmodules", "--list", "-z"))
    sections: dict[str, dict[str, str]] = {}
    for item in said.split("\0"):
        key, _, value = item.partition("\n")
        if key.startswith("submodule."):
            name, _, variable = key.removeprefix("submodule.").rpartition(".")
            sections.setdefault(name, {})[variable] = value
    return tuple(
        Submodule(path=path, url=section["url"], commit=recorded[path])
        for section in sections.values()
        if section.get("url") and section.get("update") != "none"
        for path in (PurePosixPath(section.get("path", "")).as_posix(),)
        if path in recorded
    )


def _in_lfs(mirror: Mirror, commit: str, found: tuple[Entry, ...]) -> bool:
    attributes = [entry.path for entry in found if PurePosixPath(entry.path).name == ".gitattributes"]
    return (
        bool(attributes)
        and _holds(mirror, "filter=lfs", commit, attributes)
        and _holds(mirror, _POINTER, commit)
    )


def _holds(mirror: Mirror, pattern: str, commit: str, paths: list[str] | None = None) -> bool:
    """Whether a file of the commit has a line that matches."""
    try:
        mirror.run("grep", "--quiet", "-e", pattern, commit, "--", *(paths or ()))
    except GitError as error:
        if error.code == 1:
            return False
        raise
    return True


def place(wanted: Submodule, around: Location, program: Program, checkout: Checkout | None) -> Location:
    """Where a submodule comes from. Raises UsageError for places that are not to be read."""
    url = wanted.url
    if url.startswith(("./", "../")):
        base = around.name
        if checkout is not None and checkout.top is not None:
            base = program.setting("remote.origin.url", cwd=checkout.top) or base
        url = beside(base, url)
    found = parse(url)
    if found.local and not around.local:
        raise UsageError(
            f"submodule {wanted.path} of {around.name} lies at {shown(url)}, on this machine; "
            "that is refused for repositories that come from elsewhere",
            hint="give it an address in .gitmodules that others can reach too",
        )
    same_host = (found.scheme, found.host, found.port) == (around.scheme, around.host, around.port)
    if same_host and found.credential is None:
        return replace(found, credential=around.credential)
    return found
