"""What a name stands for: branches, tags and commits as the host has them now."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bodywork.errors import NotFoundError, UnreachableError, UsageError
from bodywork.git.failure import explain
from bodywork.git.location import Location, shown
from bodywork.git.program import ANSWER, SILENCE, GitError, Program, text

FULL = re.compile(r"[0-9a-fA-F]{40}")
SHORT = re.compile(r"[0-9a-fA-F]{4,39}")
SHA = re.compile(r"[0-9a-fA-F]{4,40}")

# What git-check-ref-format(1) forbids; it includes what could pass for an option or an expression.
_INVALID = re.compile(r"^-|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^/|/$|//|\.lock$|\.$|^@$")

_NOT_PUSHED = "it may not have been pushed, or have been removed by a forced push"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A ref as the host has it: its full name, its commit, and the name to show."""

    name: str
    commit: str
    shown: str


def check(ref: str | None) -> str | None:
    """Raises UsageError for what can be no branch, tag or commit."""
    if ref is None:
        return None
    if not ref or _INVALID.search(ref):
        raise UsageError(
            f"{shown(ref)!r} is not the name of a branch, tag or commit",
            hint="for an expression like HEAD~1, name the commit that `git rev-parse` gives for it",
        )
    return ref.lower() if FULL.fullmatch(ref) else ref


def listing(program: Program, location: Location, *patterns: str) -> tuple[dict[str, str], str]:
    """The refs of a host, tags as the commits they mean, and the full name of HEAD's branch."""
    try:
        said = text(
            program.run(
                "ls-remote", "--quiet", "--symref", "--", location.name, *patterns,
                location=location, timeout=None if location.local else ANSWER,
                settings=(f"http.lowSpeedTime={SILENCE}",),
            )
        )  # fmt: skip
    except GitError as error:
        raise explain(error, location) from error
    refs: dict[str, str] = {}
    head = ""
    for line in said.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            head = value[5:] if name == "HEAD" else head
        elif len(value) != 40:
            raise UsageError(
                f"{location.name} cannot be read: its object names are not of the kind SHA-1",
                hint="git init --object-format=sha1 makes repositories that can be read",
            )
        elif name.endswith("^{}"):
            refs[name[:-3]] = value
        else:
            refs.setdefault(name, value)
    return refs, head


def choose(refs: Mapping[str, str], head: str, ref: str | None) -> Found | None:
    """What `ref` (None: HEAD) names among `refs`: a branch before a tag of the same name."""
    if ref is None or ref == "HEAD":
        if "HEAD" not in refs:
            return None
        shown_as = ref or head.removeprefix("refs/heads/") or "HEAD"
        return Found(name="HEAD", commit=refs["HEAD"], shown=shown_as)
    places = ("refs/heads/", "refs/tags/", "refs/remotes/")
    names = (ref,) if ref.startswith("refs/") else tuple(place + ref for place in places)
    for name in names:
        if name in refs:
            return Found(name=name, commit=refs[name], shown=ref)
    return None


def starting_with(refs: Mapping[str, str], short: str) -> str | None:
    """The one commit at the tip of a ref that starts with `short`."""
    found = {commit for commit in refs.values() if commit.startswith(short.lower())}
    return found.pop() if len(found) == 1 else None


def nothing(location: Location, refs: Mapping[str, str], ref: str | None) -> UsageError:
    """The error for a name that is not there; `refs` are those that are."""
    if not refs:
        return UsageError(
            f"{location.name} has no commit yet",
            hint="commit something first; `bodywork init` writes a first bodywork.yaml",
        )
    names = [name.split("/", 2)[2] for name in refs if name.startswith(("refs/heads/", "refs/tags/"))]
    some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    if ref is None or ref == "HEAD":
        return UsageError(
            f"{location.name} does not say which branch is its main one", hint=f"name a branch: {some}"
        )
    near = difflib.get_close_matches(ref.removeprefix("origin/"), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {some}"
    if SHORT.fullmatch(ref) and not near:
        hint = _NOT_PUSHED
    return NotFoundError(f"{location.name} has no branch, tag or commit {ref}", hint=hint)


def unavailable(location: Location, found: Found) -> NotFoundError:
    """The error for an object that the host has not, or does not give out, or that is no commit."""
    if found.name != found.commit:
        return NotFoundError(
            f"{found.shown} of {location.name} does not name a commit", hint="name a branch, a tag or a SHA"
        )
    return NotFoundError(f"{location.name} has no commit {found.commit}", hint=_NOT_PUSHED)


def out_of_reach(error: UnreachableError, commit: str | None) -> UnreachableError:
    """The same error, with what can be done without the host."""
    if commit is None:
        return error
    hint = f"{error.hint}; commit {commit}, which it was at when last seen, is on this machine"
    return UnreachableError(error.message, hint=hint)
