"""What there is: pipelines, their runs, stages and services."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bodywork.app.parts import Parts
from bodywork.app.past import records_of, state_of, view_of
from bodywork.app.site import Site
from bodywork.app.sites import open_site
from bodywork.app.times import rfc3339
from bodywork.app.where import Where
from bodywork.errors import NotFoundError
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import ObservedService, Plan
from bodywork.run.replay import RunView
from bodywork.run.states import RunState, StageState


@dataclass(frozen=True, kw_only=True)
class Status:
    """A pipeline: one run of it (the newest, unless asked otherwise) and its services as they are now.

    `held_up` says why a run that has not ended does not go on now.
    """

    record: RunRecord
    state: RunState
    plan: Plan
    view: RunView
    services: tuple[ObservedService, ...]
    held_up: str = ""

    @property
    def reason(self) -> str:
        """Why the run ended as it did, or does not go on."""
        return self.held_up or self.record.reason

    def state_of(self, stage: str) -> str:
        """A stage's state; what was going on in a run that is interrupted is interrupted, too."""
        state = self.view.stages[stage].state
        going = state in (StageState.RUNNING, StageState.PREPARING)
        return str(self.state) if going and self.state is RunState.INTERRUPTED else str(state)

    def document(self) -> dict[str, Any]:
        """The JSON object that `deploy` and `status PIPELINE` print."""
        return {
            "pipeline": self.record.pipeline,
            "target": self.record.target,
            "run": self.record.run,
            "commit": self.record.commit,
            "date": self.record.date,
            "state": str(self.state),
            "reason": self.reason,
            "stages": [
                {
                    **stage_document(planned.stage.name, str(planned.stage.kind), self.view),
                    "state": self.state_of(planned.stage.name),
                }
                for planned in self.plan.all_stages
            ],
            "services": [service_document(service) for service in self.services],
        }


def stage_document(name: str, kind: str, view: RunView) -> dict[str, Any]:
    """A stage of a run, as documented for `--output json`."""
    stage = view.stages[name]
    return {
        "name": name,
        "kind": kind,
        "state": str(stage.state),
        "reason": stage.reason,
        "started": rfc3339(stage.started),
        "ended": rfc3339(stage.ended),
        "attempts": stage.attempt,
        "peak_memory": stage.peak_memory,
        "cpu_seconds": stage.cpu_seconds,
        "outputs": dict(stage.outputs),
    }


def service_document(service: ObservedService) -> dict[str, Any]:
    """A service, as documented for `--output json`."""
    return {
        "name": service.name,
        "url": service.url,
        "ready": service.ready,
        "replicas": service.replicas,
        "release": service.release,
        "commit": service.commit,
        "reason": service.reason,
    }


def run_document(record: RunRecord, state: RunState) -> dict[str, Any]:
    """A run, as documented for `runs --output json`."""
    return {
        "run": record.run,
        "pipeline": record.pipeline,
        "target": record.target,
        "kind": record.kind,
        "repository": record.repository,
        "ref": record.ref,
        "commit": record.commit,
        "date": record.date,
        "backfill": record.backfill,
        "state": str(state),
        "reason": record.reason,
        "started": rfc3339(record.started),
        "ended": rfc3339(record.ended),
    }


def status(parts: Parts, where: Where, pipeline: str, run: str | None = None) -> Status:
    """A pipeline at its newest run, or at run `run`. Raises NotFoundError."""

    async def work() -> Status:
        async with open_site(parts, where) as site:
            newest = (await records_of(site, pipeline, limit=1))[0]
            return await _status(site, await site.records.run(run) if run else newest)

    return asyncio.run(work())


def overview(parts: Parts, where: Where) -> list[Status]:
    """All pipelines, each at its newest run, in the order of their names."""

    async def work() -> list[Status]:
        found = []
        async with open_site(parts, where) as site:
            for name in sorted(await site.records.pipelines()):
                with suppress(NotFoundError):  # somebody has deleted it since
                    (newest,) = await records_of(site, name, limit=1)
                    found.append(await _status(site, newest))
        return found

    return asyncio.run(work())


def runs(parts: Parts, where: Where, pipeline: str | None, limit: int) -> list[tuple[RunRecord, RunState]]:
    """The newest runs, of a pipeline or of all, with their states. Raises NotFoundError."""

    async def work() -> list[tuple[RunRecord, RunState]]:
        async with open_site(parts, where) as site:
            if pipeline is None:
                found = await site.records.runs(limit=limit)
            else:
                found = (await records_of(site, pipeline))[:limit]
            listed = []
            for record in found:
                with suppress(NotFoundError):  # somebody has deleted its pipeline since
                    listed.append((record, await state_of(site, record)))
            return listed

    return asyncio.run(work())


async def _status(site: Site, record: RunRecord) -> Status:
    state = await state_of(site, record)  # before its events: a run that has ended has all of them
    plan = await site.records.plan(record.run)
    view = view_of(plan).replay(await site.records.events(record.run))
    observed = await (await site.target(record.pipeline)).observe(record.pipeline)
    held_up = "" if state.ended else await site.held_up(record.pipeline, record.run)
    return Status(
        record=record,
        state=state,
        plan=plan,
        view=view,
        services=tuple(service for _, service in sorted(observed.items())),
        held_up=held_up,
    )
