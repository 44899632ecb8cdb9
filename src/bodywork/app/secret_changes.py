"""Services that may still have the old value of a secret: it was changed after they were rolled out.

A value, or a digest of it, is no part of what a service is: it would stand in plans and records, where
a short value can be guessed from its digest. When a key was changed tells as much, and gives nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping

from bodywork.app.records import Records
from bodywork.errors import NotFoundError
from bodywork.run.plan import ObservedService
from bodywork.spec.model import Kind, Project, Stage

Key = tuple[str, str]
"""A secret's name and the name of one of its keys."""


def asked_for(project: Project, observed: Mapping[str, ObservedService]) -> set[Key]:
    """The keys whose age has to be known."""
    return {key for stage in _services(project, observed) for key in _keys(stage)}


async def outdated(
    records: Records, project: Project, observed: Mapping[str, ObservedService], changed: Mapping[Key, float]
) -> dict[str, str]:
    """By service: which of its secrets were changed since, as the reason to roll it out anew.

    `changed` says when each key was, in seconds since the epoch.
    """
    found = {}
    for stage in _services(project, observed):
        since = await _rolled_out(records, observed[stage.name].release)
        names = sorted(f"{key[0]}/{key[1]}" for key in _keys(stage) if changed.get(key, 0.0) > since)
        if names:
            secrets, were = ("secrets", "were") if len(names) > 1 else ("secret", "was")
            found[stage.name] = f"{secrets} {', '.join(names)} {were} changed since it was rolled out"
    return found


def _services(project: Project, observed: Mapping[str, ObservedService]) -> list[Stage]:
    return [s for s in project.stages if s.kind is Kind.SERVICE and s.secrets and s.name in observed]


def _keys(stage: Stage) -> list[Key]:
    return [(named.secret, named.variable) for named in stage.secrets]


async def _rolled_out(records: Records, run: str) -> float:
    """When; a run that is not on record any more is long ago, but nothing says that it is too long ago."""
    try:
        return (await records.run(run)).started
    except NotFoundError:
        return float("inf")
