"""Go on with a run that did not end well."""

from __future__ import annotations

import asyncio

from bodywork.app.execution import Outcome, Watcher, carry_out, files_of
from bodywork.app.lock import hold
from bodywork.app.parts import Parts
from bodywork.app.past import records_of, view_of
from bodywork.app.secrets import require
from bodywork.errors import UsageError
from bodywork.history import RunRecord
from bodywork.run.states import RunState


def resume(parts: Parts, pipeline: str, run: str | None, watcher: Watcher) -> Outcome:
    """Go on with a run that was interrupted, cancelled or has failed; what succeeded stays done.

    `run` is the run's id or the beginning of it (None: the newest). Raises NotFoundError,
    BusyError, and UsageError when the run has nothing left to do.
    """
    record = _run_to_resume(parts, pipeline, run)
    planned = parts.history.plan(record.run)

    async def work() -> Outcome:
        past = parts.history.events(record.run)
        view = view_of(planned).replay(past)
        require(parts, planned.project, {s.name for s in view.stages.values() if not s.state.good})
        tree = await asyncio.to_thread(files_of, parts, planned)
        watcher.planned(planned, resumed=True)
        return await carry_out(parts, planned, parts.target(record.target, tree=tree), watcher, past=past)

    with hold(parts.home.pipeline_lock(record.target, pipeline), record.run, pipeline=pipeline):
        return asyncio.run(work())


def _run_to_resume(parts: Parts, pipeline: str, run: str | None) -> RunRecord:
    records = records_of(parts, pipeline)
    record = parts.history.run(run) if run else records[0]
    if record.pipeline != pipeline:
        raise UsageError(f"run {record.run} is one of pipeline {record.pipeline}, not of {pipeline}")
    if record.state is RunState.SUCCEEDED:
        raise UsageError(
            f"run {record.run} of {pipeline} has succeeded: there is nothing to resume",
            hint="start a new run: bodywork deploy",
        )
    return record
