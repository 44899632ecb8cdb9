"""What became of each time of a schedule in a cluster, also of those of which no pod could tell.

The pod of a firing writes down how it went. Of a time without one, the cluster knows no more than its
Jobs; the rest follows from the runs of the pipeline: a time within one of them was skipped for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bodywork.run.ledger import RunRecord
from bodywork.schedule.book import Kept
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.targets.kubernetes.batch.jobs import complete, failed
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests import cron_job

SETTLED = 120.0
"""Seconds after which it is certain that a time without a Job will not get one."""

LONGEST = timedelta(days=400)


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that is known of a schedule: what pods wrote, its Jobs, and the runs of its pipeline."""

    kept: Kept
    rows: Sequence[Firing]
    jobs: Sequence[Object]
    runs: Sequence[RunRecord]
    states: Mapping[str, State]


def accounted(told: Told, *, now: float, limit: int) -> list[Firing]:
    """The newest `limit` firings and times that did not fire, newest first."""
    jobs = {str(job["metadata"]["name"]): job for job in told.jobs}
    rows = [_as_it_stands(told, row, jobs) for row in told.rows]
    known = {row.due for row in rows if row.cause is Cause.TIME}
    rows += [
        row
        for due in _times(told.kept, now, limit)
        if due not in known and (row := _of(told, due, jobs, now))
    ]
    rows += _waiting(told, jobs, {row.process for row in rows})
    return sorted(rows, key=lambda row: row.due, reverse=True)[:limit]


def unfired(kept: Kept, due: float, state: State, reason: str, now: float) -> Firing:
    """A time at which nothing ran."""
    return Firing(
        number=0,
        schedule=kept.definition.name,
        due=due,
        cause=Cause.TIME,
        state=state,
        run="",
        process="",
        reason=reason,
        at=now,
        ended=now if state.ended else None,
    )


def _as_it_stands(told: Told, row: Firing, jobs: Mapping[str, Object]) -> Firing:
    """A run may have gone on since, or its pods may all have been lost."""
    job = jobs.get(row.process)
    goes_on = job is not None and not failed(job) and not complete(job)
    if row.run in told.states:
        (record,) = [run for run in told.runs if run.run == row.run]
        state = told.states[row.run]
        if state is State.INTERRUPTED and goes_on:
            return replace(row, state=State.RUNNING, reason="its pod was lost; the next one goes on")
        ended = record.ended if state.ended else None
        return replace(row, state=state, reason=record.reason or row.reason, ended=ended or row.ended)
    if not row.state.ended and not goes_on:
        return replace(row, state=State.FAILED, run="", reason="its pods ended before a run began")
    return row


def _times(kept: Kept, now: float, limit: int) -> Iterator[float]:
    """The newest times that have come and are settled, since the schedule has had them."""
    timing = kept.definition.timing
    if timing is None:
        return iter(())
    until = datetime.fromtimestamp(min(now - SETTLED, kept.paused or now), UTC)
    since = max(datetime.fromtimestamp(kept.last, UTC), until - LONGEST)
    found: deque[float] = deque(maxlen=limit)
    for due in timing.cron.after(since, timing.zone):
        if due > until:
            break
        found.append(due.timestamp())
    return iter(found)


def _of(told: Told, due: float, jobs: Mapping[str, Object], now: float) -> Firing | None:
    """A time of which no pod has told."""
    job = jobs.get(cron_job.job_of(told.kept.definition.name, due))
    if job is not None and failed(job):
        return unfired(told.kept, due, State.FAILED, "its pods ended before they could begin", now)
    if job is not None:
        return None
    for run in told.runs:
        if run.started <= due + SETTLED and (run.ended or now) >= due:
            return unfired(told.kept, due, State.SKIPPED, f"run {run.run} was in progress", now)
    return unfired(told.kept, due, State.MISSED, "the cluster did not start it in time", now)


def _waiting(told: Told, jobs: Mapping[str, Object], known: set[str]) -> Iterator[Firing]:
    """Jobs whose pod has not begun yet."""
    name = told.kept.definition.name
    for job in jobs.values():
        its = str(job["metadata"]["name"])
        if its in known or failed(job) or complete(job) or cron_job.is_look(name, its):
            continue
        due, asked = cron_job.due_of(name, its)
        if not asked and due < told.kept.last:
            continue  # before the schedule had its times: its pod will do nothing
        row = unfired(told.kept, due, State.WAITING, "its pod has not begun yet", due)
        yield replace(row, cause=Cause.ASKED if asked else Cause.TIME, process=its)
