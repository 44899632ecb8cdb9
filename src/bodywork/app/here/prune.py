"""Free space on this machine, while runs may begin and end at any moment.

Each pipeline is held for the moment in which its old runs are forgotten: no run of it is in
progress then, and none is resumed or gone back to. What they have left is swept after that, by
looking at what is there first and at what is reached second: whatever is there by then was written
down, or is claimed by the run that counts on it. So a kill at any moment leaves nothing but work
for the next prune.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager

from bodywork.app.execution import new_run
from bodywork.app.folders import size_of
from bodywork.app.freed import Freed, Part, Wish, joined
from bodywork.app.here.lock import hold
from bodywork.app.here.past import has_gone_on, past_of
from bodywork.app.here.site import LocalSite
from bodywork.app.here.unused import unused_caches
from bodywork.app.parts import Parts
from bodywork.app.past import left_by, records_of
from bodywork.artifacts.base import Kept, Store
from bodywork.errors import BodyworkError, BusyError, NotFoundError
from bodywork.run.ledger import RunRecord
from bodywork.run.retention import spare
from bodywork.run.states import RunState
from bodywork.targets.local.definition import Definition

ARTIFACTS, LOGS = "artifacts", "logs"


class PruneHere:
    """A `Pruner` of the target local."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._left: list[str] = []

    async def prune(self, wish: Wish) -> Freed:
        async with self._alone():
            gone = await self._forget(wish)
            services = [status.definition for status in await self._parts.agent.services()]
            parts = await asyncio.to_thread(self._sweep, wish, gone, services)
        return Freed(runs=tuple(gone), parts=joined(parts), left=tuple(self._left))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Two at once would count what they free twice, and forget each other's claims."""
        self._parts.home.make(cache=False)
        async with AsyncExitStack() as held:
            lock = hold(self._parts.home.state / "prune.lock", "prune", pipeline="")
            try:
                await held.enter_async_context(lock)
            except BusyError as error:
                raise BusyError("another prune is at work", hint="wait for it to end") from error
            yield

    # Runs

    async def _forget(self, wish: Wish) -> list[RunRecord]:
        gone: list[RunRecord] = []
        async with LocalSite(self._parts) as site:
            if wish.pipeline is not None:
                await records_of(site, wish.pipeline, limit=1)
            for name in [wish.pipeline] if wish.pipeline else await site.records.pipelines():
                try:
                    gone += await self._forget_runs(site, name, wish)
                except BusyError as error:
                    self._left.append(f"its runs stay: {error.message}")
        return gone

    async def _forget_runs(self, site: LocalSite, pipeline: str, wish: Wish) -> list[RunRecord]:
        if wish.dry_run:
            if held := await site.holder(pipeline):
                raise BusyError(f"pipeline {pipeline} is busy: run {held.run} is in progress")
            return spare(await past_of(self._parts, site, pipeline), wish.policy, time.time())
        past = await past_of(self._parts, site, pipeline)
        async with site.hold(pipeline, new_run()):  # for a moment only: a deploy does not wait for long
            self._parts.holdings.drop_claims(pipeline)
            if await has_gone_on(site, pipeline, past):
                past = await past_of(self._parts, site, pipeline)
            going = spare(past, wish.policy, time.time())
            for record in going:
                if record.state is RunState.RUNNING:  # it was killed, and never resumed
                    target = await site.target(pipeline)
                    await target.clean(*await left_by(site.records, record.run))
            self._parts.holdings.forget(record.run for record in going)
        return going

    # What they have left

    def _sweep(self, wish: Wish, gone: Sequence[RunRecord], services: Sequence[Definition]) -> list[Part]:
        names = frozenset(record.run for record in gone)
        parts = [*self._sweep_folders(names, {one.release for one in services}, wish.dry_run)]
        parts += self._sweep_stores(names, wish.dry_run)
        if wish.cache:
            parts += unused_caches(self._parts, services, dry_run=wish.dry_run)
        return parts

    def _sweep_stores(self, gone: Set[str], dry_run: bool) -> Iterator[Part]:
        found = list(self._listed())
        reached = self._parts.holdings.reached(without=gone)
        for store, kept in found:
            unreached = [one for one in kept if one.digest not in reached]
            try:
                removed = unreached if dry_run else list(self._parts.stores.sweep(store, unreached))
            except BodyworkError as error:
                self._left.append(f"some artifacts stay: {error.message}")
                continue
            yield Part(what=ARTIFACTS, count=len(removed), size=sum(one.size for one in removed))

    def _listed(self) -> Iterator[tuple[Store, list[Kept]]]:
        """All that there is in each store of this machine's."""
        for address in self._parts.stores.all():
            try:
                store = self._parts.stores.open(address, patience=10.0)
                yield store, list(store.kept())
            except NotFoundError as error:
                self._left.append(f"nothing is left in {address}: {error.message}")
            except BodyworkError as error:
                self._left.append(f"artifacts in {address} stay: {error.message}")

    def _sweep_folders(self, gone: Set[str], serving: Set[str], dry_run: bool) -> Iterator[Part]:
        """The folders of runs that are not on record. A run is recorded before it has a folder."""
        places = self._parts.places
        folders = [*places.runs.glob("*/"), *places.services.glob("*/*/*/")]
        known = {record.run for record in self._parts.history.runs()} - gone | serving
        for folder in folders:
            if folder.name in known or not _is_run(folder.name) or any(folder.glob("files-*")):
                continue
            yield Part(what=LOGS, count=1, size=size_of(folder))
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)


def _is_run(name: str) -> bool:
    """Whether a folder is named like a run: nothing else is ours to remove."""
    return name[:8].isdigit() and name[8:9] == "-"
