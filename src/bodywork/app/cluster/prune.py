"""Free space in a cluster: the records of old runs, and what they have put into the store.

Keys of objects are named by the run that made them, so no two runs share one, and what a run has
put goes with its record: objects first, so that a kill in between leaves a record to begin from.
From the store that bodywork has started, everything goes that no run on record has made; from a
bucket, where others may keep things under the same names, only what is of the runs that go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager

from bodywork.app.cluster.site import ClusterSite
from bodywork.app.execution import new_run
from bodywork.app.freed import Freed, Part, Wish, joined
from bodywork.app.parts import Parts
from bodywork.app.past import left_by, records_of
from bodywork.app.where import Where
from bodywork.artifacts.objects import Entry, ObjectStore
from bodywork.errors import BodyworkError, BusyError, NotFoundError, UsageError
from bodywork.run.events import made_by
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.run.retention import Past, spare
from bodywork.run.states import RunState
from bodywork.spec.names import label
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, REPLICA_SET
from bodywork.targets.kubernetes.manifests.bring import runs_read
from bodywork.targets.kubernetes.records import left
from bodywork.targets.kubernetes.store.outside import Outside
from bodywork.targets.kubernetes.store.store import opened


class PruneCluster:
    """A `Pruner` of the target kubernetes."""

    def __init__(self, parts: Parts, where: Where) -> None:
        self._parts = parts
        self._where = where
        self._left: list[str] = []
        self._freed: list[Part] = []

    async def prune(self, wish: Wish) -> Freed:
        if wish.cache:
            raise UsageError("--cache: what is cached is on this machine", hint="bodywork prune --cache")
        gone: list[RunRecord] = []
        async with ClusterSite(self._parts, self._where) as site:
            if wish.pipeline is not None:
                await records_of(site, wish.pipeline, limit=1)
            for name in [wish.pipeline] if wish.pipeline else await site.records.pipelines():
                try:
                    async with _held(site, name, wish):
                        gone += await self._prune(site, name, wish)
                except BusyError as error:
                    self._left.append(f"its runs stay: {error.message}")
        return Freed(runs=tuple(gone), parts=joined(self._freed), left=tuple(self._left))

    async def _prune(self, site: ClusterSite, pipeline: str, wish: Wish) -> list[RunRecord]:
        records = await self._here(site, pipeline)
        plans = {one.run: await site.records.plan(one.run) for one in records}
        fetched = await _fetched_by_pods(site, pipeline)
        going = spare(await _past(site, pipeline, plans, records, fetched), wish.policy, time.time())
        names = {one.run for one in going}
        try:
            await self._free_started(site, pipeline, fetched | plans.keys() - names, wish.dry_run)
            gone = [plans[name] for name in names]
            await self._free_buckets(site, pipeline, gone, fetched, wish.dry_run)
        except BodyworkError as error:  # then their records stay, too: nothing else knows the keys
            self._left.append(f"the runs of {pipeline} stay: {error.message}")
            return []
        if not wish.dry_run:
            for one in going:
                if one.state is RunState.RUNNING:  # it was killed, and never resumed
                    target = await site.target(pipeline)
                    await target.clean(*await left_by(site.records, one.run))
            await site.records.forget_runs(pipeline, names)
        return going

    async def _here(self, site: ClusterSite, pipeline: str) -> list[RunRecord]:
        """Its runs in its namespace: those of one with the same name elsewhere are not its own."""
        namespace, found = (await site.settings(pipeline)).namespace, []
        for one in await site.records.runs(pipeline):
            other = await site.records.namespace(one.run)
            if other == namespace:
                found.append(one)
                continue
            said = f"what {pipeline} has in namespace {other} stays: prune it with --namespace {other}"
            if said not in self._left:
                self._left.append(said)
        return found

    async def _free_started(self, site: ClusterSite, pipeline: str, kept: Set[str], dry_run: bool) -> None:
        """The store that bodywork has started in the namespace, if it has: all but what `kept` runs put."""
        settings = await site.settings(pipeline)
        try:
            store = await Outside.writer(site.api, settings.namespace)
        except NotFoundError:
            return
        folder = f"{label(pipeline, 'project')}/"
        stray = [one async for one in store.list(folder) if one.key.split("/")[1] not in kept]
        if not dry_run:
            await store.delete(one.key for one in stray)
        self._count(stray)

    async def _free_buckets(
        self, site: ClusterSite, pipeline: str, plans: Sequence[Plan], kept: Set[str], dry_run: bool
    ) -> None:
        """Stores that bodywork.yaml named: what runs have put there that go now, or have gone before.

        Objects of runs that are `kept` stay.
        """
        namespace, name = (await site.settings(pipeline)).namespace, label(pipeline, "project")
        known = await left.remembered(site.api, name, namespace)
        gone = {run: address for run, address in known.items() if run not in kept}
        going = {plan.run: plan.project.store for plan in plans if plan.project.store}
        await self._free(site, pipeline, gone | going, dry_run)
        if not dry_run:
            await left.drop(site.api, name, namespace, gone)

    async def _free(self, site: ClusterSite, pipeline: str, stores: Mapping[str, str], dry_run: bool) -> None:
        """Delete what runs have in stores; `stores` are addresses by run."""
        namespace = (await site.settings(pipeline)).namespace
        for address in sorted(set(stores.values())):
            store = await opened(site.api, address, namespace, self._parts.ours)
            for run in sorted(run for run, other in stores.items() if other == address):
                entries = await asyncio.to_thread(_listed, store, f"{label(pipeline, 'project')}/{run}")
                if entries and not dry_run:
                    await asyncio.to_thread(store.delete, *(one.key for one in entries))
                self._count(entries)

    def _count(self, entries: Sequence[Entry]) -> None:
        self._freed.append(Part(what="artifacts", count=len(entries), size=sum(one.size for one in entries)))


def _listed(store: ObjectStore, prefix: str) -> list[Entry]:
    return list(store.list(prefix))


@asynccontextmanager
async def _held(site: ClusterSite, pipeline: str, wish: Wish) -> AsyncIterator[None]:
    """No run of the pipeline is in progress meanwhile, and none begins."""
    if wish.dry_run:
        if held := await site.holder(pipeline):
            raise BusyError(f"pipeline {pipeline} is busy: run {held.run} is in progress")
        yield
        return
    async with site.hold(pipeline, new_run()):
        yield


async def _past(
    site: ClusterSite,
    pipeline: str,
    plans: Mapping[str, Plan],
    records: Sequence[RunRecord],
    fetched: Set[str],
) -> Past:
    observed = (await (await site.target(pipeline)).observe(pipeline)).values()
    return Past(
        records=records,
        releases=[one for one in await site.records.releases(pipeline) if one.run in plans],
        made={one.run: made_by(await site.records.events(one.run)) for one in records},
        read={
            run: {digest for planned in plan.all_stages for digest in planned.inputs.values()}
            for run, plan in plans.items()
        },
        in_use={service.release for service in observed} | fetched,
        serving={digest for service in observed for digest in service.inputs.values()},
    )


async def _fetched_by_pods(site: ClusterSite, pipeline: str) -> set[str]:
    """The runs whose objects pods of services fetch whenever they start again."""
    settings = await site.settings(pipeline)
    chosen = {labels.MANAGED_BY: labels.MANAGER}
    workloads = [
        one
        for kind in (DEPLOYMENT, REPLICA_SET)
        for one in await site.api.list(kind, settings.namespace, labels=chosen)
        if kind is DEPLOYMENT or one["spec"].get("replicas")
    ]
    return {run for one in workloads for run in runs_read(one)}
