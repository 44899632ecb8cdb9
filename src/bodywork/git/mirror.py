"""A bare copy of a repository under the cache: what was fetched once needs no network again.

Layout of a mirror, `mirrors/KEY.git` (KEY names the place, see `Location.key`):

    refs/bodywork/commits/SHA   keeps a commit from git's garbage collection
    bodywork/                   what is known of the commits, see `notes`
    bodywork/busy               somebody is writing; left behind only by a command that was killed

Writers hold a lock on `mirrors/KEY.lock`; readers need none. Objects of remote hosts come without
the contents of old files, so the history is there for dates and costs little.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

from bodywork.git.failure import corrupt, explain, refused
from bodywork.git.location import Location
from bodywork.git.notes import Notes
from bodywork.git.program import GitError, Program, make_folder, text

_FETCH = ("fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--recurse-submodules=no")
_EVERYTHING = ("+refs/heads/*:refs/bodywork/heads/*", "+refs/tags/*:refs/bodywork/tags/*")
_FILTERING = "--upload-pack=git -c uploadpack.allowFilter=true upload-pack"
_GARBAGE = ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/pack/*.keep", "objects/??/tmp_obj_*")


class RefusedError(Exception):
    """The host answers, but has no such commit, or does not give it out."""


class Mirror:
    """The mirror of one location, whether it is there already or not."""

    def __init__(
        self, cache: Path, location: Location, program: Program, progress: Callable[[str], None]
    ) -> None:
        self.location = location
        self.key = location.key
        self.path = cache / "mirrors" / f"{location.key}.git"
        self.notes = Notes(self.path / "bodywork")
        self._lock = self.path.with_suffix(".lock")
        self._program = program
        self._progress = progress

    def run(
        self,
        *arguments: str,
        settings: tuple[str, ...] = (),
        data: bytes = b"",
        location: Location | None = None,
    ) -> bytes:
        """git in this mirror. Raises GitError."""
        return self._program.run(
            *arguments, git_dir=self.path, settings=settings, data=data, location=location
        )

    def protect(self, commit: str) -> None:
        """Keep a commit's objects from garbage collection."""
        self.run("update-ref", f"refs/bodywork/commits/{commit}", commit)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer. What a killed writer has left is cleared away first."""
        make_folder(self._lock.parent)
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(lock)
            if not self.path.exists():
                self._create()
            busy = self.notes.folder / "busy"
            if busy.exists():
                self._clear()
            busy.touch()
            yield
            self._tidy()
            busy.unlink(missing_ok=True)
        finally:
            os.close(lock)

    def _acquire(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._progress(f"waiting for another command that fetches {self.location.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)

    def _create(self) -> None:
        """Made beside and renamed: a mirror that exists is whole."""
        self._program.check_version()
        made = Path(mkdtemp(prefix="new-", dir=self.path.parent))
        try:
            self._program.run("init", "--quiet", "--bare", "--template=", str(made))
            settings = {"remote.origin.url": self.location.name}
            if not self.location.local:
                settings |= {
                    "core.repositoryFormatVersion": "1",
                    "extensions.partialClone": "origin",
                    "remote.origin.promisor": "true",
                    "remote.origin.partialCloneFilter": "blob:none",
                }
            for key, value in settings.items():
                self._program.run("config", key, value, git_dir=made)
            (made / "bodywork" / "snapshots").mkdir(parents=True)
            made.rename(self.path)
        except GitError as error:
            raise explain(error, self.location) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _clear(self) -> None:
        for pattern in _GARBAGE:
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
        for path in self.notes.folder.glob("tmp-*"):
            shutil.rmtree(path, ignore_errors=True)

    def fetch(self, commit: str) -> str:
        """Have a commit with its history and all its own files; returns its SHA (a tag's: peeled).

        To be called while `writing`. Raises RefusedError when the host has it not, and the errors
        of `explain`.
        """
        try:
            return self._fetch(commit)
        except GitError as error:
            if not corrupt(error) or self._sound():
                raise explain(error, self.location) from error
        self._progress(f"the copy of {self.location.name} is damaged and is fetched anew")
        self._start_anew()
        try:
            return self._fetch(commit)
        except GitError as error:
            raise explain(error, self.location) from error

    def fetch_everything(self) -> None:
        """All branches and tags: for what cannot be asked for by name. To be called while `writing`."""
        try:
            self._get(*_EVERYTHING, "--prune")
        except GitError as error:
            raise explain(error, self.location) from error

    def find(self, short: str) -> str | None:
        """The full SHA of the one commit here that starts with `short`."""
        if not self.path.exists():
            return None
        try:
            return text(self.run("rev-parse", "--verify", "--quiet", f"{short}^{{commit}}")).strip()
        except GitError:
            return None

    def _sound(self) -> bool:
        """Whether the mirror is whole, so that what git stumbled over is the other repository."""
        try:
            origin = text(self.run("config", "--get", "remote.origin.url")).strip()
            self.run("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        except GitError:
            return False
        return origin == self.location.name

    def _start_anew(self) -> None:
        broken = Path(mkdtemp(prefix="old-", dir=self.path.parent))
        self.path.rename(broken / "mirror")
        shutil.rmtree(broken, ignore_errors=True)
        self._create()

    def _fetch(self, commit: str) -> str:
        try:
            self._get(f"+{commit}:refs/bodywork/commits/{commit}")
        except GitError as error:
            if not refused(error):
                raise
            self._get(*_EVERYTHING, "--prune")
        peeled = self.find(commit)
        if peeled is None:
            raise RefusedError(commit)
        if "promisor" in (self.path / "config").read_text():
            self._get_contents(peeled)
        self.protect(peeled)
        return peeled

    def _get(self, *refspecs: str) -> None:
        """Fetch with what the mirror is set up for.

        A server that stumbles over the filter is asked without; a clone on this machine that has
        not all contents itself can only be asked with it.
        """
        options = ["--update-shallow"]
        if self._outgrown():
            options = ["--depth=2147483647"]
        words = [word for word in refspecs if word.startswith("--")]
        specs = [word for word in refspecs if not word.startswith("--")]
        try:
            self.run(*_FETCH, *options, *words, "origin", *specs, location=self.location)
        except GitError as error:
            if self.location.scheme == "path" and re.search(r"promisor|lazy fetch", error.output):
                options = ["--filter=blob:none", _FILTERING]
            elif re.search(r"dumb http|filter", error.output):
                options = ["--no-filter"]
            else:
                raise
            self.run(*_FETCH, *options, *words, "origin", *specs, location=self.location)

    def _outgrown(self) -> bool:
        """Whether the mirror is shallow, as its source once was, and the source no longer is."""
        if not (self.path / "shallow").exists() or self.location.scheme != "path":
            return False
        try:
            said = self._program.run("rev-parse", "--is-shallow-repository", cwd=Path(self.location.name))
        except GitError:
            return False
        return text(said).strip() == "false"

    def _get_contents(self, commit: str) -> None:
        """The contents of all files of one commit in one go, where the filter has left them out."""
        listing = text(self.run("rev-list", "--objects", "--missing=print", "--no-walk", commit))
        missing = [line[1:] for line in listing.splitlines() if line.startswith("?")]
        if not missing:
            return
        self._progress(f"fetching {len(missing)} files")
        noop = ("fetch.negotiationAlgorithm=noop",)
        server = (_FILTERING,) if self.location.scheme == "path" else ()
        try:
            wanted = "".join(f"{sha}\n" for sha in missing).encode()
            self.run(
                *_FETCH, "--filter=blob:none", *server, "--stdin", "origin",
                data=wanted, settings=noop, location=self.location,
            )  # fmt: skip
        except GitError as error:
            if not refused(error):
                raise
            # The host filters, but gives out commits only: everything it is, then (git 2.36).
            self.run(
                *_FETCH, "--refetch", "--no-filter", "origin", *_EVERYTHING,
                settings=noop, location=self.location,
            )  # fmt: skip

    def _tidy(self) -> None:
        """Join small packs now and then. Nothing depends on it."""
        with contextlib.suppress(GitError):
            self.run("gc", "--auto", "--quiet", settings=("gc.auto=6700", "gc.autoDetach=false"))
