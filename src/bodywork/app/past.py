"""Questions that use cases ask about earlier runs."""

from __future__ import annotations

import difflib

from bodywork.app.lock import holder
from bodywork.app.parts import Parts
from bodywork.errors import NotFoundError
from bodywork.history import History
from bodywork.run.events import StageEnded
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.run.replay import RunView
from bodywork.run.states import RunState, StageState


def state_of(parts: Parts, record: RunRecord) -> RunState:
    """A run's state: one that is recorded as running, but that no command holds, is interrupted."""
    if record.state is not RunState.RUNNING:
        return record.state
    held = holder(parts.home.pipeline_lock(record.target, record.pipeline))
    if held and held.run == record.run:
        return RunState.RUNNING
    # It may have ended between the reading of the record and the look at the lock.
    now = parts.history.run(record.run).state
    return RunState.INTERRUPTED if now is RunState.RUNNING else now


def left_by(history: History, run: str) -> tuple[Plan, dict[str, str]]:
    """A run's plan, and the handles by stage of attempts whose end was not recorded."""
    plan = history.plan(run)
    return plan, view_of(plan).replay(history.events(run)).unfinished()


def view_of(plan: Plan) -> RunView:
    """The view of a run of which nothing has happened yet."""
    handler = plan.on_failure.stage.name if plan.on_failure else None
    return RunView((planned.stage.name for planned in plan.all_stages), handler)


def newest_artifacts(history: History, pipeline: str, target: str) -> dict[tuple[str, str], str]:
    """The newest digest of each output, keyed by (stage, output), over the runs of a pipeline."""
    found: dict[tuple[str, str], str] = {}
    for record in reversed(history.runs(pipeline, limit=100)):
        if record.target != target:
            continue
        for event in history.events(record.run):
            if isinstance(event, StageEnded) and event.state is StageState.SUCCEEDED:
                found.update({(event.stage, name): digest for name, digest in event.outputs.items()})
    return found


def records_of(parts: Parts, pipeline: str, *, limit: int | None = None) -> list[RunRecord]:
    """Runs of a pipeline, newest first. Raises NotFoundError when it has none."""
    records = parts.history.runs(pipeline, limit=limit)
    if not records:
        known = parts.history.pipelines()
        near = difflib.get_close_matches(pipeline, known, n=1)
        raise NotFoundError(
            f"there is no pipeline {pipeline}" + (f" (did you mean {near[0]}?)" if near else ""),
            hint=f"pipelines: {', '.join(known)}"
            if known
            else "deploy one first: bodywork deploy REPOSITORY",
        )
    return records
