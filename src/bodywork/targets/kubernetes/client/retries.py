"""Asking again: which failures pass by themselves, how long to wait, and what a lost answer means."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import httpx2

from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.answers import Status, status_of
from bodywork.targets.kubernetes.client.outage import Outage
from bodywork.targets.kubernetes.client.unreachable import asking_again_helps, unreachable, was_sent

_OVERLOADED = {429, 500, 502, 503, 504}
_SURELY_NOT_DONE = {429}
_UNSURE = {401, 403}  # a server that has just started does not know its users and roles yet


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`lost`: an earlier try may have been done, its answer never came."""

    response: httpx2.Response
    lost: bool = False


def pauses(longest: float = 5.0) -> Iterator[float]:
    """Seconds between tries: growing, and not the same for all who ask."""
    pause = 0.2
    while True:
        yield pause * random.uniform(0.75, 1.25)
        pause = min(longest, pause * 2)


async def ask(
    attempt: Callable[[], Awaitable[httpx2.Response]],
    *,
    access: Access,
    patience: float,
    outage: Outage,
    repeatable: bool = True,
) -> Answer:
    """The first answer that is worth having, asked for again for `patience` seconds.

    `repeatable`: doing it twice is the same as once, so that a lost answer can be asked for again.
    Raises UnreachableError; answers with an error status are the caller's.
    """
    deadline = time.monotonic() + patience
    lost = False
    for pause in pauses():
        try:
            response = await attempt()
        except httpx2.TransportError as error:
            outage.felt()
            lost = lost or was_sent(error)
            wait = _wait(pause, 0.0, deadline)
            if not asking_again_helps(error) or (lost and not repeatable) or wait is None:
                raise unreachable(error, access) from error
        else:
            if response.is_success:
                return Answer(response=response, lost=lost)
            status = status_of(response)
            lost = lost or _may_be_done(status)
            wait = _wait(pause, status.retry_after or 0.0, deadline)
            if wait is None or not _passes(status, outage, repeatable):
                return Answer(response=response, lost=lost)
        await asyncio.sleep(wait)
    raise AssertionError("pauses never end")


def _wait(pause: float, at_least: float, deadline: float) -> float | None:
    """Seconds until the next try, the last one at the deadline; None: there is none."""
    left = deadline - time.monotonic()
    return None if left <= 0 or at_least > left else max(at_least, min(pause, left))


def _passes(status: Status, outage: Outage, repeatable: bool) -> bool:
    if status.code in _UNSURE:
        return outage.recent
    if status.code == 409:  # many objects were made at once, and the quota's count could not keep pace
        return "on resourcequotas" in status.message
    return status.code in _OVERLOADED and (repeatable or status.code in _SURELY_NOT_DONE)


def _may_be_done(status: Status) -> bool:
    return status.code in _OVERLOADED - _SURELY_NOT_DONE
