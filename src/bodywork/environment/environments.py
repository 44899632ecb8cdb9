"""The one door to uv: lock, build, find."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from bodywork.environment.asked import Asked, moved, read
from bodywork.environment.build import Builder, ignore
from bodywork.environment.exclusive import Turns, on_disk
from bodywork.environment.lock import Environment, Lock
from bodywork.environment.python import Interpreters
from bodywork.environment.resolve import Resolver
from bodywork.environment.shelf import Shelf
from bodywork.environment.uv import Uv
from bodywork.environment.wheels import Wheels
from bodywork.errors import UnreachableError
from bodywork.spec.model import Requirements


class Environments:
    """Locks and environments of this machine.

    `locks` is the folder of locks, kept for as long as releases may be rebuilt from them; `cache`
    is a folder that may be lost at any time. `offline`: the network is not used. `downloads`: uv
    may fetch a Python that is not here. `environment` are the variables whose index, proxy and
    certificate settings uv is given (None: ours).
    """

    def __init__(
        self,
        *,
        locks: Path,
        cache: Path,
        offline: bool = False,
        downloads: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._cache = cache
        self._settings = (dict(os.environ if environment is None else environment), offline, downloads)
        self._shelf = Shelf(locks=locks, cache=cache / "locks")
        self._turns = Turns(cache / "locks" / ".locks")
        self._locks = locks
        self._latest: set[str] = set()

    async def lock(
        self,
        requirements: Requirements,
        *,
        python: str,
        folder: Path,
        as_of: datetime | None,
        setuptools: bool = False,
        notebook: bool = False,
        root: Path | None = None,
        platform: str | None = None,
    ) -> Lock:
        """Lock what a stage asks for, with the index as it was at `as_of` (None: as it is now).

        `folder` holds the project's files of the commit: requirement files and packages by path
        are relative to it; they may be anywhere below `root` (None: `folder`), and nothing there is
        changed. `setuptools` adds the setuptools of that time, `notebook` what running a
        notebook needs, unless they are asked for already. `platform` is the one that the packages are
        for, as uv names it (`aarch64-unknown-linux-gnu`; None: this machine's). The same question
        is answered from the cache, without uv and network; only "as it is now" is asked anew by
        each object of this class. Raises NotFoundError, ResolutionError, MachineError, UnreachableError.
        """
        asked = await asyncio.to_thread(
            read,
            requirements,
            python=python,
            folder=folder,
            as_of=as_of,
            setuptools=setuptools,
            notebook=notebook,
            platform=platform,
        )
        if lock := self._remembered(asked):
            return lock
        async with self._turns.turn(asked.key):
            return self._remembered(asked) or await self._new(asked, root or folder)

    @property
    def wheels(self) -> Path:
        """The folder of packages that are files of a project, which locks name by their digests."""
        return self._locks / "wheels"

    def load(self, digest: str) -> Lock:
        """The lock of that digest. Raises NotFoundError."""
        return self._shelf.load(digest)

    def built(self, digest: str) -> bool:
        """Whether the environment of that lock is there and its interpreter too."""
        return self._builder.built(digest)

    async def check(self, lock: Lock) -> None:
        """Find (or fetch) the Python of a lock whose environment is not built. Raises MachineError."""
        if not self.built(lock.digest):
            await self._interpreters.find(lock.python)

    async def build(self, lock: Lock, *, progress: Callable[[str], None] | None = None) -> Environment:
        """The environment of the lock, built if it is not there; `progress` gets lines for a person.

        However many ask at the same time, in this process and in others, one builds.
        Raises MachineError, ResolutionError, UnreachableError.
        """
        return await self._builder.build(lock, progress or ignore)

    def find(self, digest: str) -> Environment:
        """The environment of that lock. Raises NotFoundError when it is not built."""
        return self._builder.find(digest)

    def _remembered(self, asked: Asked) -> Lock | None:
        fresh = asked.resolves and asked.as_of is None
        if fresh and asked.key not in self._latest and not self._uv.offline:
            return None
        return self._shelf.remembered(asked.key)

    async def _new(self, asked: Asked, root: Path) -> Lock:
        try:
            lock = await self._resolved(asked, root)
        except UnreachableError:
            if asked.as_of is None and (known := self._shelf.remembered(asked.key)):
                warning = "the package index is out of reach: the packages are those of an earlier lock"
                return replace(known, warnings=(*known.warnings, warning))
            raise
        self._latest.add(asked.key)
        self._shelf.remember(asked.key, lock)
        return lock

    async def _resolved(self, asked: Asked, root: Path) -> Lock:
        """Builds leave files beside their sources: they get a copy of these."""
        if not asked.builds:
            return await self._resolver.lock(asked)
        with on_disk(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="bodywork-lock-") as at:
            copy = Path(at, root.name)
            await asyncio.to_thread(shutil.copytree, root, copy, symlinks=True)
            return await self._resolver.lock(moved(asked, root, copy))

    @cached_property
    def _uv(self) -> Uv:
        environment, offline, downloads = self._settings
        return Uv.found(environment, offline=offline, downloads=downloads)

    @cached_property
    def _interpreters(self) -> Interpreters:
        return Interpreters(self._uv)

    @cached_property
    def _wheels(self) -> Wheels:
        return Wheels(self.wheels, self._uv)

    @cached_property
    def _resolver(self) -> Resolver:
        return Resolver(uv=self._uv, interpreters=self._interpreters, wheels=self._wheels, cache=self._cache)

    @cached_property
    def _builder(self) -> Builder:
        return Builder(
            folder=self._cache / "environments",
            uv=self._uv,
            interpreters=self._interpreters,
            wheels=self._wheels,
        )
