"""Carry out a run inside the cluster: what `deploy --detach` leaves to a Job there.

The Job is started anew when its pod is lost, so whatever ends this process without an end of the run
must be an exit code other than 0, and an end of the run, good or bad, must be 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

from bodywork.app.execution import Outcome, Watcher
from bodywork.app.parts import Parts
from bodywork.app.resume import go_on
from bodywork.app.sites import open_site
from bodywork.app.where import Where


def control(parts: Parts, where: Where, run: str, watcher: Watcher) -> Outcome | None:
    """Begin or go on with a recorded run; None: it has ended before.

    A signal ends the process at once and leaves the run to the next pod: a pod is told to go when
    its node is drained, which is no reason to cancel anything.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)

    async def work() -> Outcome | None:
        async with open_site(parts, where) as site:
            record = await site.records.run(run)
            if record.state.ended:
                return None
            return await go_on(site, record, watcher, wait=True, signals=False)

    return asyncio.run(work())


def leave(number: int, _: FrameType | None) -> None:
    """Say by the exit code that the work is not done."""
    os._exit(128 + number)
