"""Go on with a run that did not end well."""

from __future__ import annotations

import asyncio

from bodywork.app.execution import Outcome, Watcher, carry_out
from bodywork.app.parts import Parts
from bodywork.app.past import records_of, view_of
from bodywork.app.site import Site
from bodywork.app.sites import open_site
from bodywork.app.where import Where
from bodywork.errors import UsageError
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.run.states import RunState


def resume(parts: Parts, where: Where, pipeline: str, run: str | None, watcher: Watcher) -> Outcome:
    """Go on with a run that was interrupted, cancelled or has failed; what succeeded stays done.

    `run` is the run's id or the beginning of it (None: the newest). Raises NotFoundError,
    BusyError, and UsageError when the run has nothing left to do.
    """

    async def work() -> Outcome:
        async with open_site(parts, where) as site:
            record = await _run_to_resume(site, pipeline, run)
            return await go_on(site, record, watcher)

    return asyncio.run(work())


async def go_on(
    site: Site,
    record: RunRecord,
    watcher: Watcher,
    *,
    wait: bool = False,
    signals: bool = True,
    failed_before: bool = False,
) -> Outcome:
    """Carry out what is left of a run; `failed_before` is as in `carry_out`.

    Raises BusyError, and UsageError. If it is to `wait`, it does so for whoever carries the run out, and a
    run that has ended then is left as it is.
    """
    pipeline, cancel = record.pipeline, asyncio.Event()
    planned = await site.records.plan(record.run)
    async with site.hold(pipeline, record.run, wait=wait, cancel=cancel):
        if wait and (now := await site.records.run(record.run)).state.ended:
            return Outcome(pipeline=pipeline, run=now.run, state=now.state, reason=now.reason)
        await _run_to_resume(site, pipeline, record.run)  # somebody may just have done it
        past = await site.records.events(record.run)
        view = view_of(planned).replay(past)
        await site.check(planned.project, {s.name for s in view.stages.values() if not s.state.good})
        target = await site.target(pipeline, tree=await site.files(planned))
        watcher.planned(planned, resumed=bool(past))
        release = record.kind == "rollback" or _is_whole(planned)
        return await carry_out(
            site,
            planned,
            target,
            watcher,
            cancel=cancel,
            signals=signals,
            past=past,
            release=release,
            tell=record.kind != "rollback" and record.backfill is None,
            failed_before=failed_before,
        )


def _is_whole(planned: Plan) -> bool:
    """Whether it is a plan of the whole workflow, not of chosen stages (`--only`)."""
    named = {name for step in planned.project.steps for name in step}
    return named == {item.stage.name for item in planned.stages}


async def _run_to_resume(site: Site, pipeline: str, run: str | None) -> RunRecord:
    newest = (await records_of(site, pipeline, limit=1))[0]
    record = await site.records.run(run) if run else newest
    if record.pipeline != pipeline:
        raise UsageError(f"run {record.run} is one of pipeline {record.pipeline}, not of {pipeline}")
    if record.state is RunState.SUCCEEDED:
        raise UsageError(
            f"run {record.run} of {pipeline} has succeeded: there is nothing to resume",
            hint="start a new run: bodywork deploy",
        )
    return record
