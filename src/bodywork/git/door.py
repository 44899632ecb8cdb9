"""From what the user named to a commit that is wholly on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from bodywork.errors import NotFoundError, UnreachableError, UsageError
from bodywork.git import refs, submodules, worktree
from bodywork.git.commit import Commit
from bodywork.git.failure import explain
from bodywork.git.location import Location, parse
from bodywork.git.mirror import Mirror, RefusedError
from bodywork.git.notes import Record
from bodywork.git.program import GitError, Program, inherited_environment

_DEEPEST = 8
"""Submodules in submodules."""

_ATTEMPTS = 3
"""How often to ask again when a branch moves between the question and the fetch."""


def _silent(_: str) -> None:
    pass


class Git:
    """Repositories and their commits.

    `cache` is the folder for mirrors; `environment` is what git inherits (None: ours): its HOME,
    ssh keys and credential helpers are used. `progress` is told in a sentence what takes long.
    """

    def __init__(
        self,
        cache: Path,
        *,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._cache = cache.absolute()
        self._program = Program.prepare(inherited_environment(environment), self._cache / "mirrors")
        self._progress = progress or _silent

    def open(self, location: str, ref: str | None = None, *, offline: bool = False) -> Commit:
        """The commit that `ref` names, with all its files and its history fetched.

        `location` is a URL (https, ssh, git, file, HOST:PATH), or a folder: of a bare repository,
        or anywhere in a working tree, whose uncommitted work makes a snapshot when `ref` is None.
        `ref` is a branch, a tag or a SHA; None is what HEAD of the repository says. A full SHA
        that is here already is opened without asking the host. `offline`: never ask it.

        Raises NotFoundError for a repository or ref that is not there, UnreachableError when the
        host does not answer, UsageError when it does not let us in.
        """
        place = parse(location)
        try:
            return self._open(place, refs.check(ref), offline, 0)
        except RefusedError as error:
            raise refs.nothing(place, {}, str(error)) from None

    def _open(self, place: Location, ref: str | None, offline: bool, depth: int) -> Commit:
        if ref is not None and refs.FULL.fullmatch(ref):
            mirror = self._mirror(place)
            if record := mirror.notes.record(ref):
                with contextlib.suppress(_LostError):
                    return self._commit(mirror, ref, ref, record)
        if place.scheme != "path":
            return self._open_host(place, ref, offline, depth)
        checkout = worktree.find(place, self._program)
        if ref is None and checkout.top is not None:
            return self._open_worktree(checkout, offline, depth)
        return self._open_host(checkout.location, ref, offline, depth, checkout)

    def _mirror(self, place: Location) -> Mirror:
        return Mirror(self._cache, place, self._program, self._progress)

    def _commit(self, mirror: Mirror, ref: str, sha: str, record: Record, folder: str = "") -> Commit:
        """Raises _LostError when the mirror of a submodule is not there any more."""
        below = {}
        for path, (name, commit) in record.submodules.items():
            inner = self._mirror(parse(name))
            found = inner.notes.record(commit)
            if found is None:
                raise _LostError(path)
            below[path] = self._commit(inner, commit, commit, found)
        return Commit(
            repository=mirror.location.name,
            ref=ref,
            commit=sha,
            snapshot=record.snapshot,
            changes=record.changes,
            folder=folder,
            _record=record,
            _git_dir=mirror.path,
            _program=self._program,
            _submodules=below,
        )

    def _open_worktree(self, checkout: worktree.Checkout, offline: bool, depth: int) -> Commit:
        state = worktree.status(checkout, self._program)
        worktree.warn(state, self._progress)
        mirror = self._mirror(checkout.location)
        if state.head is None and not state.dirty:
            raise refs.nothing(checkout.location, {}, None)
        if not state.dirty and state.head is not None:
            return self._have(mirror, state.head, state.branch, offline, depth, checkout)
        if state.head is not None:
            self._have(mirror, state.head, state.branch, offline, depth, checkout)
        with mirror.writing():
            made = worktree.snapshot(checkout, state, mirror, self._program)
        if made is None:
            if state.head is None:
                raise refs.nothing(checkout.location, {}, None)
            return self._have(mirror, state.head, state.branch, offline, depth, checkout)
        sha, record = made
        if mirror.notes.record(sha):
            return self._have(mirror, sha, state.branch, offline, depth, checkout)
        return self._complete(mirror, sha, state.branch, record, offline, depth, checkout)

    def _open_host(
        self,
        place: Location,
        ref: str | None,
        offline: bool,
        depth: int,
        checkout: worktree.Checkout | None = None,
    ) -> Commit:
        mirror = self._mirror(place)
        if offline and not place.local:
            found = self._remembered(mirror, ref)
            return self._have(mirror, found.commit, found.shown, offline, depth, checkout)
        for attempt in range(_ATTEMPTS):
            found = self._ask(mirror, ref)
            try:
                commit = self._have(mirror, found.commit, found.shown, offline, depth, checkout)
            except RefusedError:
                if attempt == _ATTEMPTS - 1 or refs.FULL.fullmatch(found.name):
                    raise refs.nothing(place, {found.commit: found.commit}, found.commit) from None
                continue
            if not place.local and found.name != found.commit:
                branch = {"": found.shown} if ref is None else {}
                mirror.notes.see({found.name: commit.commit, **branch})
            return commit
        raise AssertionError("unreachable")

    def _ask(self, mirror: Mirror, ref: str | None) -> refs.Found:
        """What the host says that `ref` is now."""
        if ref is not None and refs.FULL.fullmatch(ref):
            return refs.Found(name=ref, commit=ref, shown=ref)
        place = mirror.location
        try:
            some, head = refs.listing(self._program, place, ref or "HEAD")
            if found := refs.choose(some, head, ref):
                return found
            every, _ = refs.listing(self._program, place)
        except UnreachableError as error:
            known = self._known(mirror, ref)
            raise refs.out_of_reach(error, known.commit if known else None) from error
        short = ref is not None and every and refs.SHORT.fullmatch(ref)
        if short and (sha := self._lengthen(mirror, every, short[0])):
            return refs.Found(name=sha, commit=sha, shown=short[0])
        raise refs.nothing(place, every, ref)

    def _lengthen(self, mirror: Mirror, every: Mapping[str, str], short: str) -> str | None:
        """The full SHA: among the tips, in the mirror, or in all that the host has."""
        found = refs.starting_with(every, short) or mirror.find(short)
        if found is None:
            with mirror.writing():
                mirror.fetch_everything()
            found = mirror.find(short)
        return found

    def _known(self, mirror: Mirror, ref: str | None) -> refs.Found | None:
        """What the host said last time, if that commit is here."""
        seen = mirror.notes.seen()
        if ref is not None and (refs.SHORT.fullmatch(ref) or refs.FULL.fullmatch(ref)):
            sha = mirror.find(ref)
            found = refs.Found(name=sha, commit=sha, shown=ref) if sha else refs.choose(seen, "", ref)
        else:
            found = refs.choose(seen, f"refs/heads/{seen.get('', 'HEAD')}", ref)
        return found if found and mirror.notes.record(found.commit) else None

    def _remembered(self, mirror: Mirror, ref: str | None) -> refs.Found:
        found = self._known(mirror, ref)
        if found is None:
            raise UnreachableError(
                f"{ref or 'the main branch'} of {mirror.location.name} has not been fetched before, "
                "and the host was not to be asked",
                hint="try again with a network",
            )
        return found

    def _have(
        self,
        mirror: Mirror,
        sha: str,
        ref: str,
        offline: bool,
        depth: int,
        checkout: worktree.Checkout | None,
    ) -> Commit:
        """A commit of this mirror, fetched if it is not complete. Raises RefusedError."""
        folder = checkout.prefix if checkout else ""
        if record := mirror.notes.record(sha):
            with contextlib.suppress(_LostError):
                return self._commit(mirror, ref, sha, record, folder)
        if not mirror.location.local:
            self._progress(f"fetching {mirror.location.name}")
        with mirror.writing():
            peeled = sha if mirror.notes.record(sha) else mirror.fetch(sha)
        return self._complete(mirror, peeled, ref, mirror.notes.record(peeled), offline, depth, checkout)

    def _complete(
        self,
        mirror: Mirror,
        sha: str,
        ref: str,
        record: Record | None,
        offline: bool,
        depth: int,
        checkout: worktree.Checkout | None,
    ) -> Commit:
        """See to submodules and LFS of a commit that is in the mirror, and note that it is whole.

        No lock is held meanwhile: submodules have mirrors of their own, perhaps this very one.
        """
        folder = checkout.prefix if checkout else ""
        try:
            facts = submodules.inspect(mirror, sha, record, self._program)
        except GitError as error:
            raise explain(error, mirror.location) from error
        if facts.declared and depth >= _DEEPEST:
            raise UsageError(f"{mirror.location.name} has submodules more than {_DEEPEST} deep")
        below = {}
        for wanted in facts.declared:
            inner = self._submodule(mirror, wanted, offline, depth, checkout)
            below[wanted.path] = (inner.repository, inner.commit)
        whole = facts.record(below)
        mirror.notes.keep(sha, whole)
        return self._commit(mirror, ref, sha, whole, folder)

    def _submodule(
        self,
        mirror: Mirror,
        wanted: submodules.Submodule,
        offline: bool,
        depth: int,
        checkout: worktree.Checkout | None,
    ) -> Commit:
        """Its recorded commit: from its checkout beside the user's files, or from where it comes from."""
        if (
            checkout is not None
            and checkout.top is not None
            and (checkout.top / wanted.path / ".git").exists()
        ):
            with contextlib.suppress(NotFoundError, UsageError, RefusedError):
                here = Location(name=str(checkout.top / wanted.path), scheme="path")
                return self._open(here, wanted.commit, offline, depth + 1)
        place = submodules.place(wanted, mirror.location, self._program, checkout)
        try:
            return self._open(place, wanted.commit, offline, depth + 1)
        except (NotFoundError, UnreachableError, UsageError) as error:
            message = f"submodule {wanted.path} of {mirror.location.name}: {error.message}"
            raise type(error)(message, hint=error.hint) from error


class _LostError(Exception):
    """A mirror that a complete commit needs has been removed."""
