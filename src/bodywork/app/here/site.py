"""The site of the target `local`: history, locks, log files and secrets are on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bodywork.app.here.elsewhere import not_here
from bodywork.app.here.lock import hold, holder
from bodywork.app.here.log_files import follow_files
from bodywork.app.here.secrets import require
from bodywork.app.here.stores import IMPATIENCE, in_words, lacks, sizes
from bodywork.app.records import LocalRecords
from bodywork.app.secret_changes import asked_for, outdated
from bodywork.app.site import Chunk, Holder
from bodywork.errors import UnreachableError, UsageError
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import ObservedService, Plan
from bodywork.spec.model import Project, Stage

if TYPE_CHECKING:
    from bodywork.app.parts import Parts
    from bodywork.targets.local.target import LocalTarget

NAME = "local"

PATIENCE = 60.0
"""Seconds that a command gets to end its stages after it was told to."""


class LocalSite:
    """This machine as a place where pipelines run."""

    name = NAME

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.records = LocalRecords(parts.history, NAME)

    async def __aenter__(self) -> LocalSite:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def check(self, project: Project, only: Collection[str] | None = None) -> Sequence[str]:
        require(self._parts, project, only)
        return list(not_here(project))

    async def outdated(self, project: Project, observed: Mapping[str, ObservedService]) -> Mapping[str, str]:
        secrets, group = self._parts.secrets, project.secrets_group
        keys = [key for key in asked_for(project, observed) if secrets.has(*key, group)]
        changed = {key: secrets.path(*key, group).stat().st_mtime for key in keys}
        return await outdated(self.records, project, observed, changed)

    async def secret(self, project: Project, name: str, key: str) -> str:
        return self._parts.secrets.read(name, key, project.secrets_group)

    async def files(self, plan: Plan) -> Path | None:
        """Out of the mirror: no network is needed."""

        def laid_out() -> Path:
            commit = self._parts.git.open(plan.source.repository, plan.source.commit, offline=True)
            return self._parts.trees.ensure(commit.commit, commit.export)

        return await asyncio.to_thread(laid_out)

    async def platform(self) -> str | None:
        return None

    async def review(self, plan: Plan, *, before_run: bool = False) -> Sequence[str]:
        try:
            lacking = await asyncio.to_thread(lacks, self._parts.stores, plan, writing=before_run)
        except UnreachableError as error:
            if before_run:
                raise
            lacking = in_words(error)
        return [lacking] if lacking else []

    async def fetch(self, plan: Plan, digest: str, into: Path) -> None:
        await asyncio.to_thread(self._parts.stores.to_read(plan).get, digest, into)

    async def sizes(self, plan: Plan, digests: Collection[str]) -> Mapping[str, int | None]:
        store = self._parts.stores.to_read(plan, patience=IMPATIENCE)
        return await asyncio.to_thread(sizes, store, digests)

    async def target(
        self, pipeline: str, *, tree: Path | None = None, pass_env: frozenset[str] = frozenset()
    ) -> LocalTarget:
        return self._parts.local_target(tree=tree, pass_env=pass_env)

    @asynccontextmanager
    async def hold(
        self, pipeline: str, run: str, *, wait: bool = False, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[None]:
        """Other commands ask by SIGTERM, not by `cancel`."""
        async with hold(self._lock(pipeline), run, pipeline=pipeline, wait=wait):
            yield

    def check_options(self, *, detach: bool, pass_env: Collection[str]) -> None:
        if detach:
            raise UsageError(
                "--detach: on this machine, a run is carried out by the command that begins it",
                hint="let it go on without the terminal: nohup bodywork deploy ... &",
            )

    async def detach(self, plan: Plan) -> None:
        self.check_options(detach=True, pass_env=())

    async def holder(self, pipeline: str) -> Holder | None:
        held = holder(self._lock(pipeline))
        return Holder(run=held.run, who=f"process {held.pid}") if held else None

    async def held_up(self, pipeline: str, run: str) -> str:
        return ""

    async def ask_to_stop(self, pipeline: str) -> None:
        path = self._lock(pipeline)
        told, first, deadline = 0, holder(path), time.monotonic() + PATIENCE
        while first and (now := holder(path)) is not None and (not first.run or now == first):
            first = now
            if now.pid and now.pid != told:  # 0 would be ourselves and all of our group
                told = now.pid
                with contextlib.suppress(ProcessLookupError):
                    os.kill(now.pid, signal.SIGTERM)
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"run {now.run} (process {now.pid}) did not end within {PATIENCE:.0f} s",
                    hint=f"end it with: kill -9 {now.pid}, then run bodywork stop {pipeline} again",
                )
            await asyncio.sleep(0.05)

    def logs(
        self, record: RunRecord, plan: Plan, stages: Sequence[Stage], *, follow: bool
    ) -> AsyncGenerator[Chunk, None]:
        return follow_files(self._parts.places, self.records, record, plan, stages, self._goes_on, follow)

    async def sweep(self, record: RunRecord) -> None:
        await asyncio.to_thread(shutil.rmtree, self._parts.places.work(record.run), ignore_errors=True)

    async def erase(self, pipeline: str, records: Sequence[RunRecord]) -> None:
        for record in records:
            shutil.rmtree(self._parts.places.run(record.run), ignore_errors=True)
        shutil.rmtree(self._parts.places.service(pipeline), ignore_errors=True)
        await self.records.forget(pipeline)

    async def _goes_on(self, record: RunRecord) -> bool:
        """Whether the run is in progress."""
        held = await self.holder(record.pipeline)
        return held is not None and held.carries(record.run)

    def _lock(self, pipeline: str) -> Path:
        return self._parts.home.pipeline_lock(NAME, pipeline)
