"""Which runs of a schedule go: those beyond `keep`, but none that a release or a rollback needs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

from bodywork.app.here.site import NAME
from bodywork.app.parts import Parts
from bodywork.run.ledger import Release
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Firing

RELEASES = 2
"""Different ones of a pipeline: what serves, and what `rollback` goes back to."""


def too_old(firings: Sequence[Firing], releases: Sequence[Release], keep: int) -> list[str]:
    """The runs to forget; both lists are newest first."""
    needed: dict[str, str] = {}
    for release in releases:
        needed.setdefault(f"{release.commit} {release.services}", release.run)
        if len(needed) == RELEASES:
            break
    runs = [firing.run for firing in firings if firing.run and firing.state.ended]
    return [run for run in runs[keep:] if run not in needed.values()]


def forget_old_runs(parts: Parts, definition: Definition) -> None:
    """Forget them with their logs, but for those that services were rolled out by."""
    firings = parts.book.firings(definition.name)
    releases = parts.history.releases(definition.pipeline, NAME)
    services = asyncio.run(parts.agent.services(definition.pipeline))
    serving = {service.definition.release for service in services}
    gone = [run for run in too_old(firings, releases, definition.rule.keep) if run not in serving]
    parts.holdings.forget(gone)
    for run in gone:
        shutil.rmtree(parts.places.run(run), ignore_errors=True)
    kept = {f"{firing.number}.log" for firing in firings[: definition.rule.keep]}
    for log in parts.home.firing_log(definition.name, 0).parent.glob("*.log"):
        if log.name not in kept:
            log.unlink(missing_ok=True)
