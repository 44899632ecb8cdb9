"""Carry out one firing of a schedule inside the cluster: what the pod of its CronJob runs.

The Job is started anew when its pod is lost. Then the run that was begun goes on: its id follows
from schedule and time. So whatever ends this process without an end of the firing must be an exit
code other than 0, as in `controller`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bodywork.app.cluster.controller import leave
from bodywork.app.cluster.site import AWAY
from bodywork.app.deploy import Request, deploy
from bodywork.app.execution import Outcome, Watcher
from bodywork.app.git_access import KEY, PASSWORD, USER, GitAccess
from bodywork.app.here.firing import tell_of_none
from bodywork.app.parts import Parts
from bodywork.app.resume import go_on
from bodywork.app.sites import open_site
from bodywork.app.stop import stop
from bodywork.app.where import KUBERNETES, Where
from bodywork.errors import BodyworkError, BusyError, NotFoundError
from bodywork.run.ledger import RunRecord
from bodywork.schedule import told
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.spec.model import Overlap
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.manifests import cron_job
from bodywork.targets.kubernetes.records import firings

SECRET = "schedule"
"""The name, in the pod's own store of secrets, of what opens the repository."""

GIVEN = {"ssh-privatekey": KEY, "password": PASSWORD, "username": USER}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the pod is told: the schedule, the namespace, and the name of its Job."""

    definition: Definition
    namespace: str
    job: str

    @property
    def where(self) -> Where:
        return Where(target=KUBERNETES, namespace=self.namespace)

    @property
    def firing(self) -> Firing:
        """As it begins."""
        due, asked = cron_job.due_of(self.definition.name, self.job)
        return Firing(
            number=0,
            schedule=self.definition.name,
            due=due,
            cause=Cause.ASKED if asked else Cause.TIME,
            state=State.RUNNING,
            run=run_of(self.definition.name, due),
            process=self.job,
            reason="",
            at=time.time(),
            ended=None,
        )


def run_of(schedule: str, due: float) -> str:
    """The run of a time: the same, however often its pod is started anew."""
    digest = hashlib.sha256(f"{schedule} {due:.0f}".encode()).hexdigest()
    return f"{datetime.fromtimestamp(due, UTC):%Y%m%d-%H%M%S}-{digest[:4]}"


def fire_in_cluster(ours: Mapping[str, str], order: Order, watcher: Watcher, git: Path) -> State:
    """Carry it out, or go on with it; `git` is the folder with what opens the repository, if there is one.

    Returns how it ended, which is then in the schedule's history.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    access, more = _access(ours, git)
    parts = Parts({**ours, **more}, note=watcher.note)
    firing = order.firing
    _tell(parts, order, firing)
    try:
        outcome = _carry_out(parts, order, access, watcher)
        firing = replace(firing, state=State(str(outcome.state)), reason=outcome.reason)
    except BodyworkError as error:
        skipped = isinstance(error, BusyError) and firing.cause is Cause.TIME
        firing = replace(
            firing, state=State.SKIPPED if skipped else State.FAILED, run="", reason=error.message
        )
        watcher.warning(error.message)
        if not skipped:
            with contextlib.suppress(BodyworkError):
                tell_of_none(parts, order.where, order.definition, firing.due, error, watcher)
    _tell(parts, order, replace(firing, ended=time.time()))
    return firing.state


def _carry_out(parts: Parts, order: Order, access: GitAccess, watcher: Watcher) -> Outcome:
    """A pod before this one may have begun the run."""
    definition, firing = order.definition, order.firing
    if (begun := _begun(parts, order)) is not None:
        if begun.state.ended:
            return Outcome(pipeline=begun.pipeline, run=begun.run, state=begun.state, reason=begun.reason)
        return _go_on(parts, order, begun, watcher)
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
        wait=replaces,
        date=definition.day(firing.due),
        scheduled_as=firing.run,
        signals=False,
    )
    return deploy(parts, request, watcher)


def _begun(parts: Parts, order: Order) -> RunRecord | None:
    async def work() -> RunRecord | None:
        async with open_site(parts, order.where) as site:
            try:
                return await site.records.run(order.firing.run)
            except NotFoundError:
                return None

    return asyncio.run(work())


def _go_on(parts: Parts, order: Order, record: RunRecord, watcher: Watcher) -> Outcome:
    async def work() -> Outcome:
        async with open_site(parts, order.where) as site:
            return await go_on(site, record, watcher, wait=True, signals=False)

    return asyncio.run(work())


def _tell(parts: Parts, order: Order, firing: Firing) -> None:
    async def work() -> None:
        async with Api.open(parts.ours, patience=AWAY, note=parts.note) as api:
            document = {told.key_of(firing): told.encode(firing)}
            await firings.write(api, firing.schedule, order.namespace, document)

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


def order_of(ours: Mapping[str, str], job: str, namespace: str) -> Order:
    """Out of what the CronJob tells its pods. Raises NotFoundError where there is no such thing."""
    text = ours.get(cron_job.DEFINITION)
    if text is None or not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise NotFoundError("this is no pod of a schedule", hint="see: bodywork schedule --help")
    return Order(definition=Definition.decode(text), namespace=namespace, job=job)
