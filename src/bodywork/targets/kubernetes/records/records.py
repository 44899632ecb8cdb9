"""The record of runs in the cluster, so that any machine can see, resume and roll back any run.

`run_objects` says what it consists of. All objects of a run are in the pipeline's namespace; where
that is, is found from the run's first object, which is looked for by label.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from bodywork.errors import NotFoundError, UsageError
from bodywork.run.events import Event, StageOutput, made_by
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.plan import Plan
from bodywork.run.retention import Made, Policy
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, Object
from bodywork.targets.kubernetes.records import entries, left, run_objects
from bodywork.targets.kubernetes.records.retention import dispensable
from bodywork.targets.kubernetes.records.run_index import RunIndex, no_run
from bodywork.targets.kubernetes.records.run_writer import RunWriter


class ClusterRecords:
    """The runs in one cluster, which this machine calls `target`: app.records.Records.

    Looks into `namespace` only, or, without one, into all; a new run is recorded in the namespace
    that its project names, then. That namespace has to be there.
    """

    def __init__(self, api: Api, target: str, *, namespace: str | None = None) -> None:
        self._api = api
        self._target = target
        self._namespace = namespace
        self._index = RunIndex(api, target, namespace)
        self._writers: dict[str, RunWriter] = {}

    async def begin(self, record: RunRecord, plan: Plan) -> None:
        """Write down a new run. Raises UsageError when there is one of that id."""
        namespace = self._namespace or plan.project.cluster.namespace or plan.project.object_name
        main: Object = {}
        for obj in run_objects.first(record, plan, namespace):
            main = await self._create(obj, record.run)
        self._writers[record.run] = RunWriter(self._api, [main], self._target)

    async def _create(self, obj: Object, run: str) -> Object:
        try:
            return await self._api.create(obj)
        except AlreadyThereError:  # maybe made by ourselves, and the answer was lost
            metadata = obj["metadata"]
            there = await self._api.get(CONFIG_MAP, metadata["name"], metadata["namespace"])
            if there is None or entries.contents(there) != entries.contents(obj):
                raise UsageError(f"there is a run {run} already") from None
            return there

    async def add(self, run: str, event: Event, *, release: Release | None = None) -> None:
        """Add an event to a run, and with it the release that it makes; the run's state follows.

        Raises NotFoundError when there is no such run, BusyError when another command has
        written to it since this one began or read it.
        """
        await (await self._writer(run, event)).add(event, release)

    async def note(self, run: str, event: Event) -> None:
        """Add an event upon which nothing is done: it is there at the latest when the next `add` returns."""
        (await self._writer(run, event)).note(event)

    async def _writer(self, run: str, event: Event) -> RunWriter:
        if isinstance(event, StageOutput):
            raise ValueError("output of stages belongs into logs")
        writer = self._writers.get(run)
        if writer is None:
            objects = await self._index.objects(await self._index.first(run))
            writer = self._writers.setdefault(run, RunWriter(self._api, objects, self._target))
        return writer

    async def events(self, run: str) -> list[Event]:
        """The events of a run, in their order; `run` is the full id. Raises NotFoundError."""
        return run_objects.events_of(await self._index.objects(await self._index.first(run)))

    async def plan(self, run: str) -> Plan:
        """The plan of a run, given by its full id. Raises NotFoundError."""
        parts = await self._index.plan_parts(await self._index.first(run))
        return run_objects.plan_of(parts, self._target)

    async def run(self, run: str) -> RunRecord:
        """A run by its id or the beginning of it. Raises NotFoundError: none, or more than one."""
        exact = await self._index.find(run)
        mains = [exact] if exact else await self._index.all()
        found = [main for main in mains if run and run_objects.run_of(main).startswith(run)]
        if not found:
            raise no_run(run)
        if len(found) > 1:
            one, another = (run_objects.run_of(main) for main in found[:2])
            raise NotFoundError(
                f"{run} is the beginning of several runs, as of {one} and {another}",
                hint="give more of the run's id",
            )
        record, _ = await self._index.now(found[0])
        return record

    async def runs(self, pipeline: str | None = None, *, limit: int | None = None) -> list[RunRecord]:
        """Runs, of one pipeline or of all, newest first."""
        mains = await self._index.all(pipeline)
        return [(await self._index.now(main))[0] for main in mains[:limit]]

    async def pipelines(self) -> list[str]:
        """The names of all pipelines that have run, sorted."""
        return sorted({self._index.record(main).pipeline for main in await self._index.all()})

    async def releases(self, pipeline: str) -> list[Release]:
        """The releases of a pipeline, newest first."""
        found = [(await self._index.now(main))[1] for main in await self._index.all(pipeline)]
        return _newest_first(found)

    async def forget(self, pipeline: str) -> None:
        """Delete the record of all runs of a pipeline: their events, logs and releases."""
        for main in await self._index.all(pipeline):
            await self._index.delete(main)
            self._writers.pop(run_objects.run_of(main), None)

    async def forget_runs(self, pipeline: str, runs: Collection[str]) -> None:
        """Delete the record of these runs: their events, logs and releases."""
        for main in await self._index.all(pipeline):
            if run_objects.run_of(main) in runs:
                await self._index.delete(main)
                self._writers.pop(run_objects.run_of(main), None)

    async def trim(
        self,
        pipeline: str,
        policy: Policy,
        *,
        among: Collection[str] | None = None,
        but: Collection[str] = frozenset(),
    ) -> list[str]:
        """Delete the records of runs that may be forgotten, of `among` if that is given, and none of `but`.

        Gives back their ids.
        """
        mains = {run_objects.run_of(main): main for main in await self._index.all(pipeline)}
        known = [await self._index.now(main) for main in mains.values()]

        async def outputs(record: RunRecord) -> Made:
            objects = await self._index.objects(mains[record.run])
            return made_by(run_objects.events_of(objects))

        releases = _newest_first([release for _, release in known])
        records = [record for record, _ in known]
        chosen = set(mains if among is None else among) - set(but)
        going = await dispensable(records, releases, policy, outputs, chosen)
        for record in going:
            await self._remember(mains[record.run])
            await self._index.delete(mains[record.run])
            self._writers.pop(record.run, None)
        return [record.run for record in going]

    async def _remember(self, main: Object) -> None:
        """That there may be something of this run in a bucket."""
        run, namespace = run_objects.run_of(main), main["metadata"]["namespace"]
        with contextlib.suppress(NotFoundError):  # a plan that is not complete has not run
            project = (await self.plan(run)).project
            if project.store:
                await left.remember(self._api, project.object_name, namespace, {run: project.store})

    async def namespace(self, run: str) -> str:
        """Where a run is recorded, and thus deployed; `run` is the full id. Raises NotFoundError."""
        return await self._index.namespace(run)

    async def keep_log(self, run: str, stage: str, text: bytes) -> None:
        """Keep the last 64 kB of the output of a stage, which is named by its object name."""
        await self._api.apply(run_objects.log(await self._index.first(run), stage, text))

    async def kept_log(self, run: str, stage: str) -> bytes | None:
        """What `keep_log` kept last; None when nothing was kept."""
        namespace = await self._index.namespace(run)
        obj = await self._api.get(CONFIG_MAP, run_objects.log_name(run, stage), namespace)
        return None if obj is None else entries.expanded(obj["binaryData"]["log"])


def _newest_first(releases: list[Release | None]) -> list[Release]:
    return sorted((one for one in releases if one), key=lambda one: (one.at, one.run), reverse=True)
