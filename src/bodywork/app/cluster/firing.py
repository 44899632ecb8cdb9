"""Carry out one firing of a schedule inside the cluster: what the pod of its CronJob runs.

The Job is started anew when its pod is lost. Then the run that was begun goes on: its id follows
from schedule and time, or is in the schedule's ConfigMap before anything is done. So whatever ends
this process without an end of the firing must be an exit code other than 0, as in `controller`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bodywork.app.cluster.controller import leave
from bodywork.app.cluster.keeping import newest_first
from bodywork.app.cluster.order import Order
from bodywork.app.cluster.pushes import claimed, conclusion
from bodywork.app.cluster.site import AWAY, ClusterSite
from bodywork.app.deploy import Request, deploy
from bodywork.app.execution import Outcome, Watcher
from bodywork.app.git_access import KEY, PASSWORD, USER, GitAccess, git_for
from bodywork.app.here.firing import tell_of_none
from bodywork.app.parts import Parts
from bodywork.app.resume import go_on
from bodywork.app.sites import open_site
from bodywork.app.stop import stop
from bodywork.errors import BodyworkError, BusyError, NotFoundError
from bodywork.run.ledger import RunRecord
from bodywork.run.retention import TOO_MANY
from bodywork.schedule import told
from bodywork.schedule.firing import Cause, Firing, State, could_not_begin, runs_beyond, tried_before
from bodywork.spec.model import Overlap
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.records import firings

SECRET = "schedule"
"""The name, in the pod's own store of secrets, of what opens the repository."""

GIVEN = {"ssh-privatekey": KEY, "password": PASSWORD, "username": USER}


def fire_in_cluster(ours: Mapping[str, str], order: Order, watcher: Watcher, git: Path) -> State | None:
    """Carry it out, or go on with it; `git` is the folder with what opens the repository, if there is one.

    Returns how it ended, which is then in the schedule's history; None: the branch has not moved, or the
    time is none of the schedule's.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    access, more = _access(ours, git)
    parts = Parts({**ours, **more}, note=watcher.note)
    firing = _pushed(parts, order, access) if order.looks else order.firing
    return None if firing is None else _fire(parts, order, firing, access, watcher)


def _pushed(parts: Parts, order: Order, access: GitAccess) -> Firing | None:
    repository, ref = order.definition.repository, order.definition.ref
    return asyncio.run(claimed(parts, order, lambda: git_for(parts, access, repository).tip(repository, ref)))


def _fire(parts: Parts, order: Order, firing: Firing, access: GitAccess, watcher: Watcher) -> State | None:
    earlier = _begin(parts, order, firing)
    if earlier is None:
        return None
    try:
        outcome = _carry_out(parts, order, firing, access, watcher, could_not_begin(earlier))
        firing = replace(firing, state=State(str(outcome.state)), reason=outcome.reason)
    except BodyworkError as error:
        firing = _without_end(parts, order, firing, error)
        watcher.warning(error.message)
        if firing.state is State.FAILED and tried_before(earlier, firing) is None:
            with contextlib.suppress(BodyworkError):
                tell_of_none(parts, order.where, order.definition, firing.due, error, watcher)
    _conclude(parts, order, replace(firing, ended=time.time()))
    with contextlib.suppress(BodyworkError):  # the next time tries again
        asyncio.run(_forget_old_runs(parts, order))
    return firing.state


async def _forget_old_runs(parts: Parts, order: Order) -> None:
    """The records of the schedule's runs beyond `keep`; what they have put into the store is `prune`'s."""
    definition = order.definition
    async with ClusterSite(parts, order.where) as site:
        book = await firings.book(site.api, definition.name, order.namespace)
        old = runs_beyond(newest_first(book or {}), definition.rule.keep)
        await site.records.trim(definition.pipeline, TOO_MANY, among=old)


def _deployed(parts: Parts, order: Order, firing: Firing) -> str | None:
    """The commit that a push has run: the branch may have moved on since it was looked at."""
    record = _begun(parts, order, firing) if firing.cause is Cause.PUSH and firing.run else None
    return None if record is None else record.commit


def _without_end(parts: Parts, order: Order, firing: Firing, error: BodyworkError) -> Firing:
    """The deploy was refused; if it was so late that there is a run, that may be gone on with."""
    with contextlib.suppress(BodyworkError):
        if _begun(parts, order, firing) is not None:
            return replace(firing, state=State.INTERRUPTED, reason=error.message)
    skipped = isinstance(error, BusyError) and firing.cause is Cause.TIME
    state = State.SKIPPED if skipped else State.FAILED
    return replace(firing, state=state, run="", reason=error.message)


def _carry_out(
    parts: Parts, order: Order, firing: Firing, access: GitAccess, watcher: Watcher, before: bool
) -> Outcome:
    """A pod before this one may have begun the run. `before`: the one before could not begin."""
    definition = order.definition
    if (begun := _begun(parts, order, firing)) is not None:
        if begun.state.ended:
            return Outcome(pipeline=begun.pipeline, run=begun.run, state=begun.state, reason=begun.reason)
        return _go_on(parts, order, begun, watcher, before)
    replaces = definition.rule.overlap is Overlap.REPLACE
    if replaces:
        with contextlib.suppress(NotFoundError):
            stop(parts, order.where, definition.pipeline)
    request = Request(
        repository=definition.repository,
        ref=definition.ref,
        file=definition.file,
        where=order.where,
        access=access,
        wait=replaces or firing.cause is Cause.PUSH,  # a push is not lost to a run that was quicker
        date=definition.day(firing.due),
        scheduled_as=firing.run,
        failed_before=before,
        signals=False,
    )
    return deploy(parts, request, watcher)


def _begin(parts: Parts, order: Order, firing: Firing) -> list[Firing] | None:
    """Tell that it has begun. Returns the firings before it, newest first; None: it is not to begin."""

    async def work() -> list[Firing] | None:
        mine = told.key_of(firing)
        async with Api.open(parts.ours, patience=AWAY, note=parts.note) as api:
            book = await firings.book(api, firing.schedule, order.namespace) or {}
            if firing.cause is Cause.TIME and _came_before(book, firing):
                return None
            await firings.write(api, firing.schedule, order.namespace, {mine: told.encode(firing)})
        return [row for row in newest_first(book) if told.key_of(row) < mine]

    return asyncio.run(work())


def _came_before(book: Object, firing: Firing) -> bool:
    """Whether it came before the schedule had its times, or while it was paused.

    Kubernetes makes the Job of the last such time all the same, as that of one that it has missed.
    """
    if not book:
        return False
    known = firings.documents_of(book).get(told.key_of(firing))
    if known is not None:
        return told.decode(known).state is State.MISSED
    return firing.due < float(firings.said_of(book, firings.SINCE) or 0)


def _begun(parts: Parts, order: Order, firing: Firing) -> RunRecord | None:
    async def work() -> RunRecord | None:
        async with open_site(parts, order.where) as site:
            try:
                return await site.records.run(firing.run)
            except NotFoundError:
                return None

    return asyncio.run(work())


def _go_on(parts: Parts, order: Order, record: RunRecord, watcher: Watcher, failed_before: bool) -> Outcome:
    async def work() -> Outcome:
        async with open_site(parts, order.where) as site:
            return await go_on(site, record, watcher, wait=True, signals=False, failed_before=failed_before)

    return asyncio.run(work())


def _conclude(parts: Parts, order: Order, firing: Firing) -> None:
    """Write down how it ended, and what follows for its branch."""
    deployed = _deployed(parts, order, firing)

    async def work() -> None:
        async with Api.open(parts.ours, patience=AWAY, note=parts.note) as api:
            if (book := await firings.book(api, firing.schedule, order.namespace)) is not None:
                documents, said = conclusion(book, firing, deployed)
                await firings.write(api, firing.schedule, order.namespace, documents, said)

    asyncio.run(work())


def _access(ours: Mapping[str, str], git: Path) -> tuple[GitAccess, dict[str, str]]:
    """What opens the repository, in the pod's own store of secrets; and variables that git needs besides."""
    found = {name: git / name for name in GIVEN if (git / name).exists()}
    if not found:
        return GitAccess(), {}
    parts = Parts(ours)
    parts.home.make()
    values = {GIVEN[name]: path.read_text().removesuffix("\n") for name, path in found.items()}
    parts.secrets.set(SECRET, values)
    known, more = git / "known_hosts", {}
    if known.exists():
        more["GIT_SSH_COMMAND"] = f"ssh -o UserKnownHostsFile={shlex.quote(str(known))}"
    return GitAccess(secret=SECRET), more
