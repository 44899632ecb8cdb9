"""Carry out one firing of a schedule on this machine: an ordinary deploy, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time

from bodywork.app.deploy import Request, deploy
from bodywork.app.execution import Outcome, Watcher
from bodywork.app.git_access import GitAccess
from bodywork.app.here.retention import forget_old_runs
from bodywork.app.notices import tell_that_none_began
from bodywork.app.parts import Parts
from bodywork.app.sites import open_site
from bodywork.app.stop import stop
from bodywork.app.where import Where
from bodywork.errors import BodyworkError, BusyError, NotFoundError
from bodywork.process import identity
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Cause, Firing, State, could_not_begin, tried_before
from bodywork.spec.model import Overlap


def fire(parts: Parts, number: int, watcher: Watcher) -> Outcome | None:
    """Carry out a firing, and write down how it ended.

    None: another process has taken it. Raises what kept a run from beginning, after that is in
    the schedule's history; NotFoundError when there is no such firing.
    """
    if not parts.book.take(number, identity(os.getpid()) or ""):
        parts.book.firing(number)
        return None
    firing = parts.book.firing(number)
    definition = parts.book.get(firing.schedule).definition
    try:
        outcome = _deploy(parts, definition, firing, watcher)
    except BodyworkError as error:
        told = tried_before(_earlier(parts, firing), firing)
        if _end_without(parts, firing, error) is State.FAILED:
            if told is None:
                tell_of_none(parts, Where(), definition, firing.due, error, watcher)
            else:
                parts.home.firing_log(firing.schedule, told.number).unlink(missing_ok=True)
        raise
    _end(parts, firing, State(str(outcome.state)), outcome.reason, began=True)
    with contextlib.suppress(BodyworkError):  # the next time tries again
        forget_old_runs(parts, definition)
    return outcome


def _deploy(parts: Parts, definition: Definition, firing: Firing, watcher: Watcher) -> Outcome:
    replace = definition.rule.overlap is Overlap.REPLACE
    if replace:
        with contextlib.suppress(NotFoundError):
            stop(parts, Where(), definition.pipeline)
    request = request_of(definition, firing, wait=replace)
    before = _failed_before(parts, firing)
    return deploy(parts, dataclasses.replace(request, failed_before=before), watcher)


def _failed_before(parts: Parts, firing: Firing) -> bool:
    return could_not_begin(_earlier(parts, firing))


def _earlier(parts: Parts, firing: Firing) -> list[Firing]:
    """The firings before it, newest first."""
    return [one for one in parts.book.firings(firing.schedule) if one.number < firing.number]


def request_of(definition: Definition, firing: Firing, *, wait: bool = False) -> Request:
    """What is asked for at a time: the ref as it is then, for that day in the schedule's zone."""
    return Request(
        repository=definition.repository,
        ref=definition.ref,
        file=definition.file,
        access=GitAccess(ssh_key=definition.ssh_key, secret=definition.git_secret),
        wait=wait,
        date=definition.day(firing.due),
        scheduled_as=firing.run,
    )


def tell_of_none(
    parts: Parts, where: Where, definition: Definition, due: float, error: BodyworkError, watcher: Watcher
) -> None:
    """There is no run whose end would be told to those who want to know of failures."""

    async def work() -> None:
        async with open_site(parts, where) as site:
            day = f"{definition.day(due)}"
            await tell_that_none_began(site, definition.pipeline, day, error.message, watcher.warning)

    asyncio.run(work())


def _end_without(parts: Parts, firing: Firing, error: BodyworkError) -> State:
    """The deploy was refused; if it was so late that there is a run, that has an end of its own."""
    with contextlib.suppress(NotFoundError):
        record = parts.history.run(firing.run)
        _end(parts, firing, State.INTERRUPTED, record.reason or error.message, began=True)
        return State.INTERRUPTED
    skipped = isinstance(error, BusyError) and firing.cause is Cause.TIME
    state = State.SKIPPED if skipped else State.FAILED
    _end(parts, firing, state, error.message, began=False)
    return state


def _end(parts: Parts, firing: Firing, state: State, reason: str, *, began: bool) -> None:
    parts.book.end(firing.number, state, reason, now=time.time(), began=began)
