"""Which runs of a schedule go: those beyond `keep`, but none that anything needs."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Set

from bodywork.app.execution import new_run
from bodywork.app.here.past import past_of
from bodywork.app.here.site import LocalSite
from bodywork.app.parts import Parts
from bodywork.run.retention import TOO_MANY, spare
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import runs_beyond


def forget_old_runs(parts: Parts, definition: Definition) -> None:
    """Forget them with their logs. Raises BusyError while another run is in progress."""
    firings = parts.book.firings(definition.name)
    old = runs_beyond(firings, definition.rule.keep)
    for run in asyncio.run(_forget(parts, definition.pipeline, old)) if old else ():
        shutil.rmtree(parts.places.run(run), ignore_errors=True)
    kept = {f"{firing.number}.log" for firing in firings[: definition.rule.keep]}
    for log in parts.home.firing_log(definition.name, 0).parent.glob("*.log"):
        if log.name not in kept:
            log.unlink(missing_ok=True)


async def _forget(parts: Parts, pipeline: str, old: Set[str]) -> list[str]:
    async with LocalSite(parts) as site, site.hold(pipeline, new_run()):
        past = await past_of(parts, site, pipeline)
        gone = [record.run for record in spare(past.only(old), TOO_MANY, math.inf)]
        parts.holdings.forget(gone)
    return gone
