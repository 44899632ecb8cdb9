"""Schedules of a target, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.app.site import Chunk
from bodywork.app.sites import wanting_the_extra
from bodywork.app.times import rfc3339
from bodywork.app.where import LOCAL, Where
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition
from bodywork.schedule.due import upcoming
from bodywork.schedule.firing import Firing
from bodywork.spec.model import Project


class Schedules(Protocol):
    """Where the schedules of a target are kept. All raise NotFoundError for a name that is not there."""

    def suited(self, definition: Definition) -> Definition:
        """The same as the target can do it. Raises UsageError for what it cannot do."""
        ...

    def put(self, definition: Definition, tip: str) -> Kept | None:
        """Make or change one; `tip` is the commit of its ref now. Returns what it was before."""
        ...

    def kept(self) -> list[Kept]: ...

    def get(self, name: str) -> Kept: ...

    def firings(self, name: str, limit: int) -> list[Firing]:
        """What became of its times, newest first; of runs, how they stand now."""
        ...

    def run_now(self, name: str) -> Firing:
        """Fire it besides its times. Raises BusyError when a run of the pipeline is in progress."""
        ...

    def pause(self, name: str) -> None: ...

    def resume(self, name: str) -> None: ...

    def delete(self, name: str) -> None: ...

    def logs(self, name: str, *, follow: bool, show: Callable[[Chunk], None]) -> Firing:
        """What the stages of its newest firing have printed. Raises NotFoundError: it has not fired."""
        ...

    def keeps_firing(self) -> str:
        """A sentence about what it takes that they go on firing; "" where nothing is to be said."""
        ...

    def at_rest(self) -> str:
        """Why none of them fires now; "" when they do."""
        ...


def schedules_of(
    parts: Parts, where: Where, project: Project | None = None, access: GitAccess | None = None
) -> Schedules:
    """Who keeps the schedules of a target. `project` is the one that is to be put on a schedule, and
    `access` what opens its repository.
    """
    if where.kind == LOCAL:
        from bodywork.app.here.schedules import SchedulesHere

        return SchedulesHere(parts)
    with wanting_the_extra():
        from bodywork.app.cluster.schedules import SchedulesInCluster
    return SchedulesInCluster(parts=parts, where=where, project=project, access=access or GitAccess())


def next_times(
    definition: Definition, *, now: datetime | None = None, count: int = 5
) -> Sequence[tuple[datetime, datetime]]:
    """The next times, each in the schedule's zone and in UTC; none of one that has no times."""
    timing = definition.timing
    if timing is None:
        return []
    times = upcoming(timing, now or datetime.now(UTC), count)
    return [(time.astimezone(timing.zone), time) for time in times]


def schedule_document(kept: Kept, target: str, last: Firing | None) -> dict[str, Any]:
    """A schedule, as documented for `--output json`."""
    one, rule = kept.definition, kept.definition.rule
    return {
        "name": one.name,
        "pipeline": one.pipeline,
        "target": target,
        "repository": one.repository,
        "ref": one.ref,
        "file": one.file,
        "cron": rule.cron,
        "timezone": rule.timezone,
        "overlap": str(rule.overlap),
        "missed": str(rule.missed),
        "deadline": rule.deadline,
        "keep": rule.keep,
        "on_push": rule.on_push,
        "made": rfc3339(kept.made),
        "paused": rfc3339(kept.paused),
        "looked": rfc3339(kept.looked),
        "trouble": kept.trouble,
        "next": [
            {"local": local.isoformat(), "utc": rfc3339(utc.timestamp())}
            for local, utc in (next_times(one) if kept.paused is None else ())
        ],
        "last": firing_document(last) if last else None,
    }


def firing_document(firing: Firing) -> dict[str, Any]:
    """One line of `schedule history`, as documented for `--output json`."""
    return {
        "due": rfc3339(firing.due),
        "cause": str(firing.cause),
        "state": str(firing.state),
        "run": firing.run or None,
        "reason": firing.reason,
        "decided": rfc3339(firing.at),
        "ended": rfc3339(firing.ended),
    }
