"""The schedules of a cluster: CronJobs, and a ConfigMap each for what became of their times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bodywork.app.cluster.cron import (
    Placed,
    chosen,
    count_from_birth,
    credential,
    in_force,
    objects,
    placed,
    refuse_taken,
    remove_others,
    unseen,
    while_paused,
    with_book,
)
from bodywork.app.cluster.order import Order
from bodywork.app.cluster.pushes import in_progress
from bodywork.app.cluster.settings import settings_of
from bodywork.app.cluster.times import Told, accounted
from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.app.past import state_of
from bodywork.app.run_logs import show_run
from bodywork.app.site import Chunk
from bodywork.app.sites import open_site
from bodywork.app.where import Where
from bodywork.errors import BusyError, ForbiddenError, NotFoundError, UsageError
from bodywork.git.location import parse
from bodywork.schedule import told
from bodywork.schedule.book import Kept, not_there
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Firing, State
from bodywork.spec.model import Project
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, CRON_JOB, JOB, SECRET
from bodywork.targets.kubernetes.manifests import cron_job
from bodywork.targets.kubernetes.manifests.every import whole_minutes
from bodywork.targets.kubernetes.provisions import ensure_namespace
from bodywork.targets.kubernetes.records import firings

T = TypeVar("T")
POLL = 1.0
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class SchedulesInCluster:
    """`Schedules` of a cluster. `project` is the one that is put on a schedule, `access` what opens it."""

    parts: Parts
    where: Where
    project: Project | None = None
    access: GitAccess = field(default_factory=GitAccess)

    def suited(self, definition: Definition) -> Definition:
        """CronJobs know minutes, and what opens the repository here is not there.

        Raises UsageError for a repository that pods cannot fetch.
        """
        if parse(definition.repository).local:
            raise UsageError(
                f"{definition.repository} is on this machine, where pods cannot fetch it at a later time",
                hint="name the repository by a URL that the cluster reaches",
            )
        rule = definition.rule
        if rule.on_push is not None:
            rule = replace(rule, on_push=60.0 * whole_minutes(rule.on_push))
        return replace(definition, rule=rule, ssh_key=None, git_secret=None)

    def put(self, definition: Definition, tip: str) -> Kept | None:
        project = self.project
        assert project is not None

        async def work(api: Api) -> Kept | None:
            settings = settings_of(self.parts, self.where, project)
            namespace = settings.namespace
            await ensure_namespace(api, project, settings)
            names = (definition.name, cron_job.push_name(definition.name))
            there = [await api.get(CRON_JOB, name, namespace) for name in names]
            refuse_taken(there, definition, project, namespace)
            was = [one for one in there if one is not None]
            before = placed(was)[0].kept if was else None
            secret = await credential(self.parts, definition, project, self.access, namespace)
            seen = unseen(before, definition, tip)
            since, keep = in_force(before, definition), definition.rule.keep
            made = await objects(
                api, definition, project, settings, secret=secret, before=before, since=since
            )
            await firings.make(api, project, definition.name, namespace, seen, keep=keep, since=since)
            applied = [await api.apply(one) for one in made]
            if before is None:
                await count_from_birth(api, [one for one in applied if one["kind"] == CRON_JOB.kind])
            await remove_others(api, was, made)
            return before

        return self._with(work)

    def kept(self) -> list[Kept]:
        async def work(api: Api) -> list[Kept]:
            return [(await with_book(api, one)).kept for one in await self._all(api)]

        return self._with(work)

    def get(self, name: str) -> Kept:
        async def work(api: Api) -> Kept:
            return (await with_book(api, await self._one(api, name))).kept

        return self._with(work)

    def firings(self, name: str, limit: int) -> list[Firing]:
        async def work(api: Api) -> list[Firing]:
            one = await self._one(api, name)
            kept, namespace = one.kept, one.namespace
            rows = [told.decode(text) for text in (await firings.read(api, name, namespace)).values()]
            jobs = await api.list(JOB, namespace, labels=chosen(name))
            async with open_site(self.parts, replace(self.where, namespace=namespace)) as site:
                runs = await site.records.runs(kept.definition.pipeline)
                states = {run.run: State(str(await state_of(site, run))) for run in runs}
            seen = Told(kept=kept, rows=rows, jobs=jobs, runs=runs, states=states)
            return accounted(seen, now=time.time(), limit=limit)

        return self._with(work)

    def run_now(self, name: str) -> Firing:
        async def work(api: Api) -> Firing:
            one = await self._one(api, name)
            definition, namespace = one.kept.definition, one.namespace
            async with open_site(self.parts, replace(self.where, namespace=namespace)) as site:
                held = await in_progress(site, definition.pipeline)
            if held is not None:
                raise BusyError(
                    f"pipeline {definition.pipeline} is busy: run {held.run} ({held.who}) is in progress",
                    hint=f"wait for its end, or stop it: bodywork stop {definition.pipeline}",
                )
            job = cron_job.job_now(one.cron_jobs[0], int(time.time()))
            await api.create(job)
            return Order(definition=definition, namespace=namespace, job=job["metadata"]["name"]).firing

        return self._with(work)

    def pause(self, name: str) -> None:
        self._suspend(name, time.time())

    def resume(self, name: str) -> None:
        """Times that came in between are not made up for; they are told as such."""
        kept = self.get(name)
        if kept.paused is not None:
            self._suspend(name, None)

    def delete(self, name: str) -> None:
        async def work(api: Api) -> None:
            found = await self._one(api, name)
            for one in found.cron_jobs:
                await api.delete(CRON_JOB, one["metadata"]["name"], found.namespace)
            await api.delete(CONFIG_MAP, firings.name_of(name), found.namespace)
            for secret in await api.list(SECRET, found.namespace, labels=chosen(name)):
                await api.delete(SECRET, secret["metadata"]["name"], found.namespace)

        self._with(work)

    def logs(self, name: str, *, follow: bool, show: Callable[[Chunk], None]) -> Firing:
        deadline = time.monotonic() + PATIENCE
        while True:
            known = self.firings(name, 20)
            awaited = [one for one in known if follow and not one.state.ended]
            fired = [one for one in known if one.run or one.state is State.FAILED or one in awaited]
            if not fired:
                raise NotFoundError(
                    f"schedule {name} has not fired yet", hint=f"fire it: bodywork schedule run-now {name}"
                )
            if not follow or fired[0].state.ended or self._shown(fired[0], name, follow, show):
                break
            if time.monotonic() > deadline:
                return fired[0]
            time.sleep(POLL)
        if not follow or fired[0].state.ended:
            self._shown(fired[0], name, False, show)
        return self.firings(name, 1)[0]

    def _shown(self, firing: Firing, name: str, follow: bool, show: Callable[[Chunk], None]) -> bool:
        """Whether its run is there, whose output is then shown."""

        async def work() -> bool:
            async with open_site(self.parts, self.where) as site:
                try:
                    record = await site.records.run(firing.run)
                except NotFoundError:
                    return False
                await show_run(site, record, follow=follow, show=show)
                return True

        return bool(firing.run) and asyncio.run(work())

    def keeps_firing(self) -> str:
        return ""

    def at_rest(self) -> str:
        return ""

    def _suspend(self, name: str, since: float | None) -> None:
        async def work(api: Api) -> None:
            found = await self._one(api, name)
            marks: dict[str, str | None] = {cron_job.PAUSED: None if since is None else f"{since:.3f}"}
            if since is None:
                marks[cron_job.SINCE] = now = f"{time.time():.3f}"
                passed = while_paused(found.kept)
                begun = await firings.read(api, name, found.namespace)  # just when it was paused
                missed = {key: passed[key] for key in passed.keys() - begun.keys()}
                await firings.write(api, name, found.namespace, missed, {firings.SINCE: now})
            change = {"metadata": {"annotations": marks}, "spec": {"suspend": since is not None}}
            for one in found.cron_jobs:
                await api.patch(CRON_JOB, one["metadata"]["name"], found.namespace, change)

        self._with(work)

    async def _all(self, api: Api) -> list[Placed]:
        try:
            return placed(await api.list(CRON_JOB, self.where.namespace, labels=chosen()))
        except ForbiddenError as error:
            if self.where.namespace is not None:
                raise
            raise ForbiddenError(error.message, hint="name the namespace: --namespace NAME") from error

    async def _one(self, api: Api, name: str) -> Placed:
        every = await self._all(api)
        found = [one for one in every if one.name == name]
        if not found:
            raise not_there(name, [one.name for one in every])
        if len(found) > 1:
            places = ", ".join(one.namespace for one in found)
            raise UsageError(
                f"several namespaces have a schedule {name}: {places}", hint="name one: --namespace"
            )
        return found[0]

    def _with(self, work: Callable[[Api], Awaitable[T]]) -> T:
        async def call() -> T:
            async with Api.open(self.parts.ours, context=self.where.context, note=self.parts.note) as api:
                return await work(api)

        return asyncio.run(call())
