"""End a run, or all of a pipeline."""

from __future__ import annotations

import asyncio
import time

from bodywork.app.execution import new_run
from bodywork.app.parts import Parts
from bodywork.app.past import left_by, records_of, state_of
from bodywork.app.site import Site
from bodywork.app.sites import open_site
from bodywork.app.where import Where
from bodywork.run.events import RunEnded
from bodywork.run.ledger import RunRecord
from bodywork.run.states import RunState


def stop(parts: Parts, where: Where, pipeline: str) -> RunRecord | None:
    """Cancel the run in progress, or close an interrupted one; services go on serving.

    Returns the run as it then is, None when there was nothing to stop. Raises NotFoundError for
    an unknown pipeline, UnreachableError when the command that runs it does not end.
    """

    async def work() -> RunRecord | None:
        async with open_site(parts, where) as site:
            newest = next((r for r in await records_of(site, pipeline) if r.target == site.name), None)
            if held := await site.holder(pipeline):
                await site.ask_to_stop(pipeline)
                carried = [r for r in await site.records.runs(pipeline) if held.carries(r.run)]
                newest = carried[0] if carried else newest
                if newest is None or newest.state is not RunState.RUNNING:
                    return newest
            if newest is None or await state_of(site, newest) is not RunState.INTERRUPTED:
                return None
            async with site.hold(pipeline, newest.run):
                await _close_interrupted(site, newest)
            return await site.records.run(newest.run)

    return asyncio.run(work())


async def _close_interrupted(site: Site, record: RunRecord) -> None:
    """End what an interrupted run has left, and record it as cancelled."""
    target = await site.target(record.pipeline)
    await target.clean(*await left_by(site.records, record.run))
    end = RunEnded(at=time.time(), state=RunState.CANCELLED, reason="was interrupted, then stopped")
    await site.records.add(record.run, end)


def count_runs(parts: Parts, where: Where, pipeline: str) -> int:
    """How many runs a pipeline has. Raises NotFoundError when there is no such pipeline."""

    async def work() -> int:
        async with open_site(parts, where) as site:
            return len(await records_of(site, pipeline))

    return asyncio.run(work())


def delete(parts: Parts, where: Where, pipeline: str) -> list[str]:
    """Remove a pipeline: its services, releases, runs and logs. Returns the services' names.

    A run in progress is a BusyError. Artifacts and environments are shared, and stay.
    """

    async def work() -> list[str]:
        async with open_site(parts, where) as site:
            records = [r for r in await records_of(site, pipeline) if r.target == site.name]
            async with site.hold(pipeline, new_run()):
                return await _delete(site, pipeline, records)

    return asyncio.run(work())


async def _delete(site: Site, pipeline: str, records: list[RunRecord]) -> list[str]:
    target = await site.target(pipeline)
    for record in records:
        if record.state is RunState.RUNNING:
            await target.clean(*await left_by(site.records, record.run))
    services = sorted(await target.observe(pipeline))
    await target.remove(pipeline, frozenset(services))
    await site.erase(pipeline, records)
    return services
