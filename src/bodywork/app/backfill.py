"""Back-fill: run the batch stages of a workflow once for each day of a range, at one commit.

A back-fill makes up for days that are past, so what serves today is left alone: services, and the
release. It holds the pipeline for as long as it takes. A few of its days are in progress at a time,
each a run with an id that begins with the back-fill's. What has succeeded is found in the record of
runs, so the same command, called again, goes on where the last one came to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from bodywork.app.day_runs import Backfill, day_runs, succeeded
from bodywork.app.days import Days
from bodywork.app.deploy import (
    Ground,
    Request,
    check_out_request,
    clean_up_after_others,
    ground_of,
    plan_on,
    refuse_in_vain,
    say_what_is_built,
    site_for,
)
from bodywork.app.execution import Watcher, carry_out, new_run, record_of, set_by_signals
from bodywork.app.parts import Parts
from bodywork.app.site import Site
from bodywork.errors import UsageError
from bodywork.run.plan import Plan
from bodywork.run.states import RunState
from bodywork.spec.model import Kind, Project

PARALLEL = 3
"""Days in progress at a time, unless something else is asked for."""


@dataclass(frozen=True, kw_only=True)
class How:
    """`parallel` days at a time; `again`: those that have succeeded before, too. `watch` gives the
    watcher of a day's run.
    """

    watch: Callable[[str], Watcher]
    parallel: int = PARALLEL
    again: bool = False


def backfill(parts: Parts, request: Request, days: Days, watcher: Watcher, how: How) -> Backfill:
    """Run the batch stages for each of the days. Raises as `deploy` does, before anything has run.

    A day that fails keeps no other from running, unless the request says `fail_fast`: then no
    further day is begun.
    """
    if request.detach:
        raise UsageError(
            f"--detach: the back-fill {days} is carried out by the command that begins it",
            hint="let it go on without the terminal: nohup bodywork deploy ... &",
        )
    checkout = check_out_request(parts, request, watcher)
    project, name = checkout.project, new_run()
    request = replace(request, only=_batch_stages(project, request.only, watcher))

    async def work() -> Backfill:
        cancel = asyncio.Event()
        async with (
            site_for(parts, request, project) as site,
            site.hold(project.name, name, wait=request.wait, cancel=cancel),
        ):
            ground = await ground_of(parts, site, request, checkout, watcher)
            plans = await _plans(site, request, ground, name, days)
            await refuse_in_vain(site, plans[0])
            target = await site.target(project.name, tree=ground.tree)
            await clean_up_after_others(site, target, project.name)
            done = {} if how.again else await succeeded(site.records, plans)
            _say_what_will_be(days, done, how, watcher)
            course = _Course(site=site, request=request, ground=ground, days=days, how=how, cancel=cancel)
            if due := [plan for plan in plans if plan.date not in done]:
                say_what_is_built(parts, site, due[0], watcher)
                with set_by_signals(cancel):
                    await course.run(due)
            return Backfill(
                pipeline=project.name,
                target=site.name,
                commit=checkout.commit.commit,
                cancelled=cancel.is_set(),
                days=await day_runs(site.records, plans, done),
            )

    ended = asyncio.run(work())
    parts.trees.trim()
    return ended


async def _plans(site: Site, request: Request, ground: Ground, name: str, days: Days) -> list[Plan]:
    """All of them before anything runs: what a day lacks is found at once."""
    return [
        await plan_on(site, replace(request, date=day), ground, f"{name}-{day:%Y%m%d}", observed={})
        for day in days
    ]


def _batch_stages(project: Project, only: frozenset[str] | None, watcher: Watcher) -> frozenset[str]:
    """What is run for each day. Raises UsageError when there is nothing."""
    services = {stage.name for stage in project.stages if stage.kind is Kind.SERVICE}
    if only and (named := sorted(only & services)):
        raise UsageError(
            f"--only {named[0]}: a back-fill runs batch stages, and {named[0]} is a service",
            hint=f"roll it out by itself: bodywork deploy --only {named[0]}",
        )
    batch = frozenset(stage.name for stage in project.stages) - services
    if not batch:
        raise UsageError(
            f"--date: the workflow of {project.name} has no batch stages to run for a range of days",
            hint="name one day to roll its services out for that day",
        )
    if services and not only:
        watcher.note(f"services are left as they are: {', '.join(sorted(services))}")
    return only or batch


def _say_what_will_be(days: Days, done: Collection[str], how: How, watcher: Watcher) -> None:
    left, at_a_time = len(days) - len(done), f"{how.parallel} at a time" if how.parallel > 1 else "one by one"
    before = f"; {len(done)} succeeded before and are not run again (--again runs them)" if done else ""
    watcher.note(f"back-fill {days}: {left} of {len(days)} days to run, {at_a_time}{before}")


@dataclass(kw_only=True)
class _Course:
    """The days of a back-fill in progress, oldest first."""

    site: Site
    request: Request
    ground: Ground
    days: Days
    how: How
    cancel: asyncio.Event
    _stopped: bool = field(default=False, init=False)
    """No further day is to begin."""

    async def run(self, plans: Sequence[Plan]) -> None:
        """Returns when all that were begun have ended. Raises the first error that is none of a run."""
        slots = asyncio.Semaphore(self.how.parallel)
        tasks = [asyncio.ensure_future(self._day(plan, slots)) for plan in plans]
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for one in ended:
            if isinstance(one, BaseException):
                raise one

    async def _day(self, plan: Plan, slots: asyncio.Semaphore) -> None:
        async with slots:
            if self._stopped or self.cancel.is_set():
                return
            try:
                await self._carry_out(plan)
            except BaseException:  # the cluster is away, the disk is full: other days fare no better
                self.cancel.set()
                raise

    async def _carry_out(self, plan: Plan) -> None:
        site, request = self.site, self.request
        target = await site.target(plan.pipeline, tree=self.ground.tree, pass_env=request.pass_env)
        watcher = self.how.watch(plan.date or "")
        await site.records.begin(record_of(plan, "deploy", backfill=str(self.days)), plan)
        watcher.planned(plan)
        outcome = await carry_out(
            site,
            plan,
            target,
            watcher,
            cancel=self.cancel,
            signals=False,
            fail_fast=request.fail_fast,
            release=False,
            tell=False,
        )
        if request.fail_fast and outcome.state is not RunState.SUCCEEDED:
            self._stopped = True
