"""Questions that use cases ask about earlier runs."""

from __future__ import annotations

import difflib

from bodywork.app.records import Records
from bodywork.app.site import Site
from bodywork.errors import NotFoundError
from bodywork.run.events import made_by
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.run.replay import RunView
from bodywork.run.states import RunState


async def state_of(site: Site, record: RunRecord) -> RunState:
    """A run's state: one that is recorded as running, but that nobody carries out, is interrupted."""
    if record.state is not RunState.RUNNING:
        return record.state
    held = await site.holder(record.pipeline)
    if held and held.carries(record.run):
        return RunState.RUNNING
    # It may have ended between the reading of the record and the look at the lock.
    now = (await site.records.run(record.run)).state
    return RunState.INTERRUPTED if now is RunState.RUNNING else now


async def left_by(records: Records, run: str) -> tuple[Plan, dict[str, str]]:
    """A run's plan, and the handles by stage of attempts whose end was not recorded."""
    plan = await records.plan(run)
    return plan, view_of(plan).replay(await records.events(run)).unfinished()


def view_of(plan: Plan) -> RunView:
    """The view of a run of which nothing has happened yet."""
    handler = plan.on_failure.stage.name if plan.on_failure else None
    return RunView((planned.stage.name for planned in plan.all_stages), handler)


async def newest_artifacts(
    records: Records, pipeline: str, target: str, day: str | None = None
) -> dict[tuple[str, str], str]:
    """The newest digest of each output, keyed by (stage, output), over the runs of a pipeline.

    Those of runs for the same `day` come first. What a back-fill made for other days is as old as they
    are, and never counts.
    """
    known = [record for record in await records.runs(pipeline) if record.target == target]
    of_today = [record for record in known if record.backfill is None][:100]
    of_day = [record for record in known if day is not None and record.date == day]
    found: dict[tuple[str, str], str] = {}
    for record in (*reversed(of_today), *reversed(of_day)):
        found.update(made_by(await records.events(record.run)))
    return found


async def records_of(site: Site, pipeline: str, *, limit: int | None = None) -> list[RunRecord]:
    """Runs of a pipeline, newest first. Raises NotFoundError when it has none."""
    records = await site.records.runs(pipeline, limit=limit)
    if not records:
        known = await site.records.pipelines()
        near = difflib.get_close_matches(pipeline, known, n=1)
        raise NotFoundError(
            f"there is no pipeline {pipeline}{_on(site)}" + (f" (did you mean {near[0]}?)" if near else ""),
            hint=f"pipelines: {', '.join(known)}"
            if known
            else "deploy one first: bodywork deploy REPOSITORY",
        )
    return records


def _on(site: Site) -> str:
    return "" if site.name == "local" else f" on {site.name}"
