"""From what the user named to a commit that is wholly on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bodywork.errors import NotFoundError, UnreachableError, UsageError
from bodywork.git import refs, submodules, worktree
from bodywork.git.commit import Commit
from bodywork.git.failure import explain
from bodywork.git.location import Credential, Location, parse
from bodywork.git.mirror import Mirror, RefusedError
from bodywork.git.notes import Record
from bodywork.git.program import GitError, Program, inherited_environment
from bodywork.git.resolution import Resolution

_DEEPEST = 8
"""Submodules in submodules."""

_ATTEMPTS = 3
"""How often to ask again when a branch moves between the question and the fetch."""


class _LostError(Exception):
    """A mirror that a complete commit needs has been removed."""


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """What is to be opened; `depth` counts the repositories around a submodule."""

    place: Location
    ref: str | None
    offline: bool
    depth: int = 0
    checkout: worktree.Checkout | None = None

    @property
    def top(self) -> Path | None:
        return self.checkout.top if self.checkout else None

    @property
    def folder(self) -> str:
        return self.checkout.prefix if self.checkout else ""


def _silent(_: str) -> None:
    pass


class Git:
    """Repositories and their commits.

    `cache` is the folder for mirrors; `environment` is what git inherits (None: ours): its HOME,
    ssh keys and credential helpers are used. `progress` is told in a sentence what takes long.
    `ssh_key` is the file of the one private key that ssh is to use; the errors of `ssh.read_key`
    are raised for it. `credential` is for the host of a repository that is reached by the web, unless
    its URL has one.
    """

    def __init__(
        self,
        cache: Path,
        *,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
        ssh_key: str | Path | None = None,
        credential: Credential | None = None,
    ) -> None:
        self._cache = cache.absolute()
        inherited = inherited_environment(environment)
        self._program = Program.prepare(inherited, self._cache / "mirrors", key_file=ssh_key)
        self._progress = progress or _silent
        self._credential = credential

    @property
    def program(self) -> Program:
        """git as it is called here, and by it the user's ssh."""
        return self._program

    def open(self, location: str, ref: str | None = None, *, offline: bool = False) -> Commit:
        """The commit that `ref` names, with all its files and its history fetched.

        `location` is a URL (https, ssh, git, file, HOST:PATH), or a folder: of a bare repository,
        or anywhere in a working tree, whose uncommitted work makes a snapshot when `ref` is None.
        `ref` is a branch, a tag or a SHA; None is what HEAD of the repository says. A full SHA
        that is here already is opened without asking the host. `offline`: never ask it.

        Raises NotFoundError for a repository or ref that is not there, UnreachableError when the
        host does not answer, UsageError when it does not let us in.
        """
        return self._open(_Wish(place=self._place(location), ref=refs.check(ref), offline=offline))

    def tip(self, location: str, ref: str | None = None) -> str:
        """The commit that `ref` names now, by asking alone: nothing is fetched. Raises as `open`.

        Of a working tree, uncommitted work does not count: None is its HEAD.
        """
        place = self._place(location)
        if place.scheme == "path":
            place = worktree.find(place, self._program).location
        return Resolution(self._mirror(place), self._program).ask(refs.check(ref)).commit

    def _place(self, location: str) -> Location:
        place = parse(location)
        if place.credential is None and place.scheme in ("https", "http"):
            return replace(place, credential=self._credential)
        return place

    def uncommitted(self, location: str) -> bool:
        """Whether a location is a working tree with work that no commit holds."""
        place = parse(location)
        if place.scheme != "path":
            return False
        checkout = worktree.find(place, self._program)
        return checkout.top is not None and worktree.status(checkout, self._program).dirty

    def _open(self, wish: _Wish) -> Commit:
        if wish.ref is not None and refs.FULL.fullmatch(wish.ref):
            mirror = self._mirror(wish.place)
            if record := mirror.notes.record(wish.ref):
                with contextlib.suppress(_LostError):
                    return self._commit(mirror, wish.ref, wish.ref, record)
        if wish.place.scheme != "path":
            return self._open_ref(wish)
        checkout = worktree.find(wish.place, self._program)
        found = _Wish(
            place=checkout.location, ref=wish.ref, offline=wish.offline, depth=wish.depth, checkout=checkout
        )
        if wish.ref is None and checkout.top is not None:
            return self._open_work(found, checkout)
        return self._open_ref(found)

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

    def _open_work(self, wish: _Wish, checkout: worktree.Checkout) -> Commit:
        """What is in a working tree: its HEAD, or a snapshot where that is not all."""
        state = worktree.status(checkout, self._program)
        worktree.warn(state, self._progress)
        mirror = self._mirror(wish.place)
        head = self._have(mirror, state.head, state.branch, wish) if state.head else None
        made = None
        if state.dirty:
            with mirror.writing():
                made = worktree.snapshot(checkout, state, mirror, self._program)
        if made is None:
            if head is None:
                raise refs.nothing(wish.place, {}, None)
            return head
        sha, record = made
        if mirror.notes.record(sha):
            with contextlib.suppress(_LostError):
                return self._commit(mirror, state.branch, sha, record, wish.folder)
        return self._complete(mirror, sha, state.branch, record, wish)

    def _open_ref(self, wish: _Wish) -> Commit:
        mirror = self._mirror(wish.place)
        resolution = Resolution(mirror, self._program)
        if wish.offline and not wish.place.local:
            found = resolution.recall(wish.ref)
            return self._have(mirror, found.commit, found.shown, wish)
        for _ in range(_ATTEMPTS):
            found = resolution.ask(wish.ref)
            with contextlib.suppress(RefusedError):
                commit = self._have(mirror, found.commit, found.shown, wish, host=True)
                resolution.remember(found, commit.commit)
                return commit
        raise refs.unavailable(wish.place, found)

    def _have(self, mirror: Mirror, sha: str, ref: str, wish: _Wish, *, host: bool = False) -> Commit:
        """A commit of this mirror, fetched if it is not complete.

        Raises RefusedError if the repository does not give it out: when its `host` was asked
        before, it may have been changed since; else that is an error like others.
        """
        if record := mirror.notes.record(sha):
            with contextlib.suppress(_LostError):
                return self._commit(mirror, ref, sha, record, wish.folder)
        if not mirror.location.local:
            self._progress(f"fetching {mirror.location.name}")
        try:
            with mirror.writing():
                peeled = sha if mirror.notes.record(sha) else mirror.fetch(sha)
        except RefusedError:
            if host:
                raise
            raise refs.unavailable(wish.place, refs.Found(name=sha, commit=sha, shown=sha)) from None
        return self._complete(mirror, peeled, ref, mirror.notes.record(peeled), wish)

    def _complete(self, mirror: Mirror, sha: str, ref: str, record: Record | None, wish: _Wish) -> Commit:
        """See to submodules and LFS of a commit that is in the mirror, and note that it is whole.

        No lock is held meanwhile: submodules have mirrors of their own, perhaps this very one.
        """
        try:
            facts = submodules.inspect(mirror, sha, record, self._program)
        except GitError as error:
            raise explain(error, mirror.location) from error
        if facts.declared and wish.depth >= _DEEPEST:
            raise UsageError(f"{mirror.location.name} has submodules more than {_DEEPEST} deep")
        below = {}
        for wanted in facts.declared:
            inner = self._submodule(mirror, wanted, wish)
            below[wanted.path] = (inner.repository, inner.commit)
        whole = facts.record(below)
        mirror.notes.keep(sha, whole)
        return self._commit(mirror, ref, sha, whole, wish.folder)

    def _submodule(self, mirror: Mirror, wanted: submodules.Submodule, wish: _Wish) -> Commit:
        """Its recorded commit: from its checkout beside the user's files, or from where it comes from."""

        def opened(place: Location) -> Commit:
            return self._open(
                _Wish(place=place, ref=wanted.commit, offline=wish.offline, depth=wish.depth + 1)
            )

        if wish.top is not None and (wish.top / wanted.path / ".git").exists():
            with contextlib.suppress(UsageError):
                return opened(Location(name=str(wish.top / wanted.path), scheme="path"))
        try:
            return opened(submodules.place(wanted, mirror.location, self._program, wish.checkout))
        except (NotFoundError, UnreachableError, UsageError) as error:
            message = f"submodule {wanted.path} of {mirror.location.name}: {error.message}"
            raise type(error)(message, hint=error.hint) from error
