"""Schedules of a target: making one, and what can be asked of those that there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from bodywork.app.checkout import Checkout
from bodywork.app.deploy import Request, check_out_request
from bodywork.app.execution import Watcher
from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.app.site import Chunk
from bodywork.app.sites import open_site, wanting_the_extra
from bodywork.app.times import rfc3339
from bodywork.app.where import LOCAL, Where
from bodywork.errors import UsageError
from bodywork.git.location import parse
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition, differences
from bodywork.schedule.due import upcoming
from bodywork.schedule.firing import Firing
from bodywork.spec.model import Project
from bodywork.spec.names import is_label, label
from bodywork.spec.rule import rule_of

LONGEST_NAME = 47
"""A CronJob of Kubernetes has 52 at most, and the one that looks for pushes has 5 more than the schedule."""


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


@dataclass(frozen=True, kw_only=True)
class Made:
    """A schedule that was made or changed; `before` is what it was (None: new)."""

    definition: Definition
    before: Kept | None

    @property
    def changes(self) -> list[str]:
        return list(differences(self.before.definition, self.definition)) if self.before else []


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


def make(
    parts: Parts, request: Request, name: str | None, given: Mapping[str, Any], watcher: Watcher
) -> Made:
    """Put a project on a schedule, or change the one of that name; nothing is made if it cannot run.

    `given` are options of the rule by key. Raises the errors of `check_out`, UsageError, and
    NotFoundError for secrets that are not there.
    """
    request = _of_commits(parts, request, watcher)
    checkout = check_out_request(parts, request, watcher)
    project = checkout.project
    schedules = schedules_of(parts, request.where, project, request.access)
    definition = Definition(
        name=_named(name, label(project.name, "project")),
        pipeline=project.name,
        repository=request.repository,
        rule=rule_of(given, project.schedule),
        ref=request.ref,
        file=request.file,
        ssh_key=request.access.ssh_key,
        git_secret=request.access.secret,
    )
    if not next_times(definition, count=1) and definition.rule.cron is not None:
        raise UsageError(f'cron expression "{definition.rule.cron}" names a day that never comes')
    definition = schedules.suited(definition)
    _check(parts, request, checkout, watcher)
    return Made(definition=definition, before=schedules.put(definition, checkout.commit.commit))


def next_times(
    definition: Definition, *, now: datetime | None = None, count: int = 5
) -> Sequence[tuple[datetime, datetime]]:
    """The next times, each in the schedule's zone and in UTC; none of one that has no times."""
    timing = definition.timing
    if timing is None:
        return []
    times = upcoming(timing, now or datetime.now(UTC), count)
    return [(time.astimezone(timing.zone), time) for time in times]


def _of_commits(parts: Parts, request: Request, watcher: Watcher) -> Request:
    """The same request, with what holds at any time: an absolute path, the commit that is checked out."""
    place = parse(request.repository)
    if place.secrets:
        raise UsageError(
            "the URL holds a token or password, which a schedule would have to write down",
            hint="leave it out, and let --git-secret, a credential helper of git or an ssh key open it",
        )
    access = request.access
    if access.ssh_key is not None:
        from pathlib import Path

        access = GitAccess(ssh_key=str(Path(access.ssh_key).expanduser().absolute()))
    if place.scheme != "path":
        return replace(request, access=access)
    if parts.git.uncommitted(place.name):
        watcher.warning(f"uncommitted work in {place.name} is not taken: a schedule runs commits")
    return replace(request, repository=place.name, ref=request.ref or "HEAD", access=access)


def _named(name: str | None, otherwise: str) -> str:
    """Raises UsageError for what Kubernetes would not take either."""
    chosen = name if name is not None else otherwise[:LONGEST_NAME].rstrip("-")
    if not is_label(chosen) or len(chosen) > LONGEST_NAME:
        raise UsageError(
            f'--name {chosen}: a schedule\'s name has lower-case letters, digits and "-", begins with a '
            f"letter, and is at most {LONGEST_NAME} characters long",
            hint=f"did you mean {label(chosen, 'schedule')[:LONGEST_NAME].rstrip('-')}?",
        )
    return chosen


def _check(parts: Parts, request: Request, checkout: Checkout, watcher: Watcher) -> None:
    """See that the target has what the project names, as `plan` does."""
    import asyncio

    async def work() -> None:
        async with open_site(parts, request.where, checkout.project, access=request.access) as site:
            for sentence in await site.check(checkout.project):
                watcher.note(sentence)

    asyncio.run(work())


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
