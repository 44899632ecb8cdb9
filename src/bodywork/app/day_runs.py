"""What became of the days of a back-fill, and which of them an earlier one has done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bodywork.app.records import Records
from bodywork.app.times import rfc3339
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.run.states import RunState


@dataclass(frozen=True, kw_only=True)
class DayRun:
    """A day (YYYY-MM-DD) and its run, None when it was not run; `earlier`: it had succeeded before."""

    day: str
    record: RunRecord | None
    earlier: bool

    @property
    def state(self) -> str:
        return str(self.record.state) if self.record else "not run"

    @property
    def good(self) -> bool:
        return self.record is not None and self.record.state is RunState.SUCCEEDED

    def document(self) -> dict[str, Any]:
        record = self.record
        return {
            "date": self.day,
            "run": record.run if record else None,
            "state": self.state,
            "earlier": self.earlier,
            "reason": record.reason if record else "",
            "started": rfc3339(record.started if record else None),
            "ended": rfc3339(record.ended if record else None),
        }


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """How a back-fill ended. `cancelled`: somebody stopped it."""

    pipeline: str
    target: str
    commit: str
    cancelled: bool
    days: tuple[DayRun, ...]

    @property
    def failed(self) -> int:
        """Days that were run, and not well."""
        return sum(one.record is not None and not one.good for one in self.days)

    @property
    def left(self) -> int:
        """Days that are yet to succeed."""
        return sum(not one.good for one in self.days)

    def document(self) -> dict[str, Any]:
        """The JSON object that `deploy --date FIRST..LAST` prints."""
        return {
            "pipeline": self.pipeline,
            "target": self.target,
            "commit": self.commit,
            "cancelled": self.cancelled,
            "days": [one.document() for one in self.days],
        }


async def succeeded(records: Records, plans: Sequence[Plan]) -> dict[str, RunRecord]:
    """The days that need no run: by day, the newest good one of the same stages at the same commit."""
    days, done = {plan.date or "": plan for plan in plans}, dict[str, RunRecord]()
    for record in await records.runs(plans[0].pipeline):
        wanted = days.get(record.date or "")
        if wanted is None or record.date is None or record.date in done or not _is_like(record, wanted):
            continue
        if stages_of(wanted) <= stages_of(await records.plan(record.run)):
            done[record.date] = record
    return done


def _is_like(record: RunRecord, wanted: Plan) -> bool:
    same = (record.commit, record.target) == (wanted.source.commit, wanted.target)
    return same and record.kind != "rollback" and record.state is RunState.SUCCEEDED


def stages_of(plan: Plan) -> set[str]:
    return {planned.stage.name for planned in plan.stages}


async def day_runs(
    records: Records, plans: Sequence[Plan], done: Mapping[str, RunRecord]
) -> tuple[DayRun, ...]:
    """What became of each planned day."""
    known = {record.run: record for record in await records.runs(plans[0].pipeline)}
    return tuple(
        DayRun(
            day=plan.date or "",
            record=done.get(plan.date or "") or known.get(plan.run),
            earlier=plan.date in done,
        )
        for plan in plans
    )
