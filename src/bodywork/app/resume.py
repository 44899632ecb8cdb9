"""Go on with a run that did not end well."""

from __future__ import annotations

import asyncio

from bodywork.app.execution import Outcome, Watcher, carry_out, files_of
from bodywork.app.lock import hold
from bodywork.app.parts import Parts
from bodywork.app.past import records_of, view_of
from bodywork.app.secrets import require
from bodywork.errors import UsageError
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.run.states import RunState


def resume(parts: Parts, pipeline: str, run: str | None, watcher: Watcher) -> Outcome:
    """Go on with a run that was interrupted, cancelled or has failed; what succeeded stays done.

    `run` is the run's id or the beginning of it (None: the newest). Raises NotFoundError,
    BusyError, and UsageError when the run has nothing left to do.
    """
    record = _run_to_resume(parts, pipeline, run)
    planned = parts.history.plan(record.run)

    async def work() -> Outcome:
        _run_to_resume(parts, pipeline, record.run)  # somebody may just have done it
        past = parts.history.events(record.run)
        view = view_of(planned).replay(past)
        require(parts, planned.project, {s.name for s in view.stages.values() if not s.state.good})
        tree = await asyncio.to_thread(files_of, parts, planned)
        watcher.planned(planned, resumed=True)
        target = parts.target(record.target, tree=tree)
        release = record.kind == "rollback" or _is_whole(planned)
        return await carry_out(parts, planned, target, watcher, past=past, release=release)

    with hold(parts.home.pipeline_lock(record.target, pipeline), record.run, pipeline=pipeline):
        return asyncio.run(work())


def _is_whole(planned: Plan) -> bool:
    """Whether it is a plan of the whole workflow, not of chosen stages (`--only`)."""
    named = {name for step in planned.project.steps for name in step}
    return named == {item.stage.name for item in planned.stages}


def _run_to_resume(parts: Parts, pipeline: str, run: str | None) -> RunRecord:
    newest = records_of(parts, pipeline, limit=1)[0]
    record = parts.history.run(run) if run else newest
    if record.pipeline != pipeline:
        raise UsageError(f"run {record.run} is one of pipeline {record.pipeline}, not of {pipeline}")
    if record.state is RunState.SUCCEEDED:
        raise UsageError(
            f"run {record.run} of {pipeline} has succeeded: there is nothing to resume",
            hint="start a new run: bodywork deploy",
        )
    return record
