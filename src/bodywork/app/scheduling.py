"""Put a project on a schedule, or change the one that it is on; nothing is made if it could not run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bodywork.app.checkout import Checkout
from bodywork.app.deploy import Request, check_out_request
from bodywork.app.execution import Watcher
from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.app.schedules import next_times, schedules_of
from bodywork.app.sites import open_site
from bodywork.errors import UsageError
from bodywork.git.location import parse
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition, differences
from bodywork.spec.names import is_label, label
from bodywork.spec.rule import rule_of

LONGEST_NAME = 47
"""A CronJob of Kubernetes has 52 at most, and the one that looks for pushes has 5 more than the schedule."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A schedule that was made or changed; `before` is what it was (None: new)."""

    definition: Definition
    before: Kept | None

    @property
    def changes(self) -> list[str]:
        return list(differences(self.before.definition, self.definition)) if self.before else []


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

    async def work() -> None:
        async with open_site(parts, request.where, checkout.project, access=request.access) as site:
            for sentence in await site.check(checkout.project):
                watcher.note(sentence)

    asyncio.run(work())
