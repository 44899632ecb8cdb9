"""Finding the objects of runs in the cluster, by label, in one namespace or in all."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bodywork.errors import ForbiddenError, NotFoundError
from bodywork.run.events import RunEnded
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.states import RunState
from bodywork.spec.names import label
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, Object
from bodywork.targets.kubernetes.records import entries, run_objects
from bodywork.targets.kubernetes.records.run_objects import RECORD

LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class RunIndex:
    """The first object of each run, and the way from there to the others."""

    def __init__(self, api: Api, target: str, namespace: str | None) -> None:
        self._api = api
        self._target = target
        self._namespace = namespace
        self._places: dict[str, str] = {}

    async def find(self, run: str) -> Object | None:
        """The first object of a run, given by its full id."""
        if run in self._places:
            return await self._api.get(CONFIG_MAP, f"run-{run}", self._places[run])
        if not LABEL_VALUE.fullmatch(run):
            return None
        found = await self._list({RECORD: "run", labels.RUN: run})
        return found[0] if found else None

    async def first(self, run: str) -> Object:
        """As `find`. Raises NotFoundError when there is no such run."""
        main = await self.find(run)
        if main is None:
            raise no_run(run)
        return main

    async def namespace(self, run: str) -> str:
        """Where a run is recorded. Raises NotFoundError when there is no such run."""
        if run not in self._places:
            await self.first(run)
        return self._places[run]

    async def all(self, pipeline: str | None = None) -> list[Object]:
        """The first objects of all runs, or of a pipeline's, newest first.

        Labels cannot hold every name of a pipeline; the record has the true one.
        """
        wanted = {RECORD: "run"}
        if pipeline is not None:
            wanted[labels.PIPELINE] = label(pipeline, "project")
        records = [(self.record(main), main) for main in await self._list(wanted)]
        chosen = [(record, main) for record, main in records if pipeline in (None, record.pipeline)]
        chosen.sort(key=lambda pair: (pair[0].started, pair[0].run), reverse=True)
        return [main for _, main in chosen]

    async def objects(self, main: Object) -> list[Object]:
        """The first object of a run and those of its later events, in their order."""
        if not entries.full(main):
            return [main]
        wanted = {RECORD: "events", labels.RUN: run_objects.run_of(main)}
        chunks = await self._api.list(CONFIG_MAP, main["metadata"]["namespace"], labels=wanted)
        return [main, *sorted(chunks, key=lambda chunk: entries.event_keys(chunk)[0])]

    def record(self, main: Object) -> RunRecord:
        """The record as it was last written into the first object; see `now`."""
        return run_objects.record_of(main, self._target)

    async def now(self, main: Object) -> tuple[RunRecord, Release | None]:
        """The record of a run and its release, if it has one.

        A command that dies while it records the end may leave a record that still says `running`.
        """
        record, release = self.record(main), run_objects.release_of(main, self._target)
        if record.state is not RunState.RUNNING or not entries.full(main):
            return record, release
        *_, last = await self.objects(main)
        newest = run_objects.events_of([last])[-1]
        if isinstance(newest, RunEnded):
            record = run_objects.following(record, newest)
            release = run_objects.release_of(last, self._target)
        return record, release

    async def plan_parts(self, main: Object) -> list[Object]:
        """The objects that hold the plan. Raises NotFoundError when one of them is gone."""
        namespace, found = main["metadata"]["namespace"], []
        for name in run_objects.plan_names(main):
            part = await self._api.get(CONFIG_MAP, name, namespace)
            if part is None:
                raise NotFoundError(
                    f"the plan of run {run_objects.run_of(main)} is not complete: ConfigMap {name} is"
                    f" gone from namespace {namespace}",
                    hint="start a new run: bodywork deploy",
                )
            found.append(part)
        return found or [main]

    async def delete(self, main: Object) -> None:
        """Delete all objects of a run. The first goes last: a deletion cut short can be repeated."""
        namespace, name = main["metadata"]["namespace"], main["metadata"]["name"]
        later = [chunk["metadata"]["name"] for chunk in (await self.objects(main))[1:]]
        for other in (*later, *run_objects.plan_names(main), name):
            await self._api.delete(CONFIG_MAP, other, namespace)
        self._places.pop(run_objects.run_of(main), None)

    async def _list(self, wanted: Mapping[str, str]) -> list[Object]:
        try:
            found = await self._api.list(CONFIG_MAP, self._namespace, labels=wanted)
        except ForbiddenError as error:
            if self._namespace is not None:
                raise
            message = f"runs cannot be looked for in all namespaces: {error.message}"
            raise ForbiddenError(message, hint="name the pipeline's namespace with --namespace") from error
        self._places.update((run_objects.run_of(one), one["metadata"]["namespace"]) for one in found)
        return found


def no_run(run: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run}", hint="see them all: bodywork runs")
