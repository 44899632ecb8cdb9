"""End a run, or all of a pipeline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time

from bodywork.app.execution import new_run
from bodywork.app.lock import hold, holder
from bodywork.app.parts import Parts, check_target
from bodywork.app.past import left_by, records_of, state_of
from bodywork.errors import UnreachableError
from bodywork.run.events import RunEnded
from bodywork.run.ledger import RunRecord
from bodywork.run.states import RunState

PATIENCE = 60.0
"""Seconds that a command gets to end its stages after it was told to."""


def stop(parts: Parts, pipeline: str, *, target: str) -> RunRecord | None:
    """Cancel the run in progress, or close an interrupted one; services go on serving.

    Returns the run as it then is, None when there was nothing to stop. Raises NotFoundError for
    an unknown pipeline, UnreachableError when the command that runs it does not end.
    """
    check_target(target)
    newest = next((r for r in records_of(parts, pipeline) if r.target == target), None)
    path = parts.home.pipeline_lock(target, pipeline)
    if held := holder(path):
        told, deadline = 0, time.monotonic() + PATIENCE
        while (now := holder(path)) is not None and (not held.run or now == held):
            held = now
            if held.pid and held.pid != told:  # 0 would be ourselves and all of our group
                told = held.pid
                with contextlib.suppress(ProcessLookupError):
                    os.kill(held.pid, signal.SIGTERM)
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"run {held.run} (process {held.pid}) did not end within {PATIENCE:.0f} s",
                    hint=f"end it with: kill -9 {held.pid}, then run bodywork stop {pipeline} again",
                )
            time.sleep(0.05)
        return parts.history.run(held.run) if held.run else newest
    if newest is None or state_of(parts, newest) is not RunState.INTERRUPTED:
        return None
    with hold(path, newest.run, pipeline=pipeline):
        _close_interrupted(parts, newest)
    return parts.history.run(newest.run)


def _close_interrupted(parts: Parts, record: RunRecord) -> None:
    """End what an interrupted run has left, and record it as cancelled."""
    asyncio.run(parts.target(record.target).clean(*left_by(parts.history, record.run)))
    end = RunEnded(at=time.time(), state=RunState.CANCELLED, reason="was interrupted, then stopped")
    parts.history.record(record.run, end)


def delete(parts: Parts, pipeline: str, *, target: str) -> list[str]:
    """Remove a pipeline: its services, releases, runs and logs. Returns the services' names.

    A run in progress is a BusyError. Artifacts and environments are shared, and stay.
    """
    check_target(target)
    records = [record for record in records_of(parts, pipeline) if record.target == target]
    with hold(parts.home.pipeline_lock(target, pipeline), new_run(), pipeline=pipeline):
        where = parts.target(target)

        async def work() -> list[str]:
            for record in records:
                if record.state is RunState.RUNNING:
                    await where.clean(*left_by(parts.history, record.run))
            services = sorted(await where.observe(pipeline))
            await where.remove(pipeline, frozenset(services))
            return services

        services = asyncio.run(work())
        for record in records:
            shutil.rmtree(parts.places.run(record.run), ignore_errors=True)
        shutil.rmtree(parts.places.service(pipeline), ignore_errors=True)
        parts.history.delete_pipeline(pipeline, target)
    return services
