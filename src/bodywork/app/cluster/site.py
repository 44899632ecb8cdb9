"""The site of the target `kubernetes`: records, lease, pods and secrets are in the cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from bodywork.app.cluster import artifacts, detached
from bodywork.app.cluster.check import (
    Place,
    ages,
    missing_keys,
    unpublished,
    unserved_routes,
    value_of,
)
from bodywork.app.cluster.git_key import files_for_pods
from bodywork.app.cluster.held_up import Told, held_up
from bodywork.app.cluster.keeping import kept_by_schedules
from bodywork.app.cluster.logs import ClusterLogs
from bodywork.app.cluster.platform import platform_of
from bodywork.app.cluster.settings import settings_of
from bodywork.app.cluster.stop import Stopping
from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.app.past import records_of
from bodywork.app.secret_changes import asked_for, outdated
from bodywork.app.site import Chunk, Holder
from bodywork.app.where import KUBERNETES, Where
from bodywork.errors import BusyError, UsageError
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import ObservedService, Plan
from bodywork.run.retention import Policy
from bodywork.spec.model import Project, Stage
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.client.incluster import ACCOUNT
from bodywork.targets.kubernetes.lease.holder import Identity
from bodywork.targets.kubernetes.lease.lease import PipelineLease
from bodywork.targets.kubernetes.provisions import ensure_namespace, kept_source
from bodywork.targets.kubernetes.records.records import ClusterRecords
from bodywork.targets.kubernetes.secrets import git_credential
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.store import store
from bodywork.targets.kubernetes.target import KubernetesTarget, Surroundings
from bodywork.targets.kubernetes.target import Records as TargetRecords

AWAY = 600.0
"""Seconds for which a run waits for an API server that is away."""


class ClusterSite:
    """A cluster as a place where pipelines run. `project` is the one that is deployed, when there is one,
    and `access` what opens its repository.
    """

    name = KUBERNETES

    def __init__(
        self, parts: Parts, where: Where, project: Project | None = None, *, access: GitAccess | None = None
    ) -> None:
        self._parts = parts
        self._access = access or GitAccess()
        self._where = where
        self._erased = False
        self._projects = {project.name: project} if project else {}
        self._api = Api.open(parts.ours, context=where.context, patience=AWAY, note=parts.note)
        namespace = where.namespace or (self._settings(project).namespace if project else None)
        self.records = ClusterRecords(self._api, KUBERNETES, namespace=namespace)

    async def __aenter__(self) -> ClusterSite:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()

    @property
    def api(self) -> Api:
        return self._api

    async def check(self, project: Project, only: Collection[str] | None = None) -> Sequence[str]:
        place = Place(namespace=self._settings(project).namespace, target=self._where.target)
        unknown = await missing_keys(self._api, project, place, only)
        hidden = await unpublished(self._api, project, self._settings(project))
        return [*unknown, *hidden]

    async def platform(self) -> str | None:
        return await platform_of(self._api)

    async def review(self, plan: Plan, *, before_run: bool = False) -> Sequence[str]:
        settings = self._settings(plan.project)
        lacking = await store.lacks(self._api, plan, settings, self._parts.ours)
        return [*filter(None, [lacking]), *await unserved_routes(self._api, plan.project, settings)]

    async def outdated(self, project: Project, observed: Mapping[str, ObservedService]) -> Mapping[str, str]:
        asked = asked_for(project, observed)
        changed = await ages(self._api, project, self._settings(project).namespace, asked)
        return await outdated(self.records, project, observed, changed)

    async def secret(self, project: Project, name: str, key: str) -> str:
        return await value_of(self._api, project, self._settings(project).namespace, name, key)

    async def files(self, plan: Plan) -> Path | None:
        """None: an earlier command has left them in the cluster. Otherwise out of Git, and its errors."""
        namespace = self._settings(await self._project(plan.pipeline)).namespace
        if await kept_source(self._api, plan, namespace) is not None:
            return None

        def laid_out() -> Path:
            commit = self._parts.git.open(plan.source.repository, plan.source.commit)
            return self._parts.trees.ensure(commit.commit, commit.export)

        return await asyncio.to_thread(laid_out)

    async def target(
        self, pipeline: str, *, tree: Path | None = None, pass_env: frozenset[str] = frozenset()
    ) -> KubernetesTarget:
        return KubernetesTarget(
            self._api,
            await self.settings(pipeline),
            name=KUBERNETES,
            pipeline=(await self._project(pipeline)).object_name,
            surroundings=Surroundings(
                environments=self._parts.environments,
                variables=self._parts.ours,
                tree=tree,
                note=self._parts.note,
                credential=self._credential,
            ),
            records=TargetRecords(
                locate=partial(artifacts.locate, self.records, pipeline), keep_log=self.records.keep_log
            ),
        )

    @asynccontextmanager
    async def hold(
        self, pipeline: str, run: str, *, wait: bool = False, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[None]:
        await self._make_namespace(pipeline)
        lease = await self._lease(pipeline)

        def lost() -> None:
            self._api.refuse_writes(lambda: BusyError(f"run {run} is carried out by another command now"))

        stop = cancel.set if cancel else lambda: None
        async with lease.hold(run, wait=wait, on_cancel=stop, on_lost=lost):
            yield
            if not self._erased:
                await self._trim(pipeline)
        if self._erased:
            await lease.remove()

    def check_options(self, *, detach: bool, pass_env: Collection[str]) -> None:
        """Variables are not passed on from here: pods see what bodywork.yaml gives them."""
        if pass_env:
            raise UsageError(
                f"--pass-env {', '.join(sorted(pass_env))}: stages in a cluster see nothing of this machine",
                hint="give the variables in bodywork.yaml: env: for plain values, secrets: for others",
            )

    async def detach(self, plan: Plan) -> None:
        await detached.begin(self._api, plan, self._settings(plan.project))

    async def holder(self, pipeline: str) -> Holder | None:
        """A controller in the cluster counts from the moment on that its Job is there."""
        if held := await (await self._lease(pipeline)).holder():
            return Holder(run=held.run, who=held.who)
        project = await self._project(pipeline)
        return await detached.starting(self._api, project, self._settings(project).namespace)

    async def held_up(self, pipeline: str, run: str) -> str:
        return await held_up(self._api, await self._lease(pipeline), run)

    async def ask_to_stop(self, pipeline: str) -> None:
        project, lease = await self._project(pipeline), await self._lease(pipeline)
        namespace = self._settings(project).namespace
        first = await lease.holder()
        if first is None:
            await detached.withdraw(self._api, project, namespace)
            return
        await lease.ask_to_stop()
        stopping = Stopping(api=self._api, lease=lease, namespace=namespace, note=self._parts.note)
        await stopping.wait_for(first, pipeline)

    async def logs(
        self, record: RunRecord, plan: Plan, stages: Sequence[Stage], *, follow: bool
    ) -> AsyncGenerator[Chunk, None]:
        found = ClusterLogs(
            api=self._api,
            records=self.records,
            namespace=await self.records.namespace(record.run),
            pipeline=plan.project.object_name,
        )

        told = Told(self._parts.note)

        async def goes_on() -> bool:
            if told.due:
                told.tell(await self.held_up(record.pipeline, record.run))
            held = await self.holder(record.pipeline)
            return held is not None and held.carries(record.run)

        chunks = found.follow(record, stages, goes_on) if follow else found.read(record, stages)
        async for chunk in chunks:
            yield chunk

    async def fetch(self, plan: Plan, digest: str, into: Path) -> None:
        await artifacts.fetch(self._api, self.records, plan.pipeline, digest, into, self._parts.ours)

    async def sizes(self, plan: Plan, digests: Collection[str]) -> Mapping[str, int | None]:
        """Not told: stores in clusters may be out of reach from here."""
        return {}

    async def sweep(self, record: RunRecord) -> None:
        """Kubernetes deletes ended Jobs by itself."""

    async def erase(self, pipeline: str, records: Sequence[RunRecord]) -> None:
        target = await self.target(pipeline)
        await self.records.forget(pipeline)
        await target.erase(pipeline)
        self._erased = True

    async def settings(self, pipeline: str) -> Settings:
        """Where and how a pipeline runs: as its project says, or as its newest run did."""
        return self._settings(await self._project(pipeline))

    async def _credential(self, plan: Plan) -> str | None:
        """The Secret with which pods fetch a project that is too big to be sent."""
        namespace = self._settings(plan.project).namespace
        files = await files_for_pods(self._parts, plan.source.repository, self._access)
        return await git_credential.ensure(self._api, plan, namespace, files)

    async def _project(self, pipeline: str) -> Project:
        if pipeline not in self._projects:
            (newest,) = await records_of(self, pipeline, limit=1)
            plan = await self.records.plan(newest.run)
            cluster = replace(plan.project.cluster, namespace=await self.records.namespace(newest.run))
            self._projects[pipeline] = replace(plan.project, cluster=cluster)
        return self._projects[pipeline]

    def _settings(self, project: Project) -> Settings:
        return settings_of(self._parts, self._where, project)

    async def _trim(self, pipeline: str) -> None:
        """Forget old runs, but none that a schedule keeps."""
        project = await self._project(pipeline)
        namespace = self._settings(project).namespace
        kept = await kept_by_schedules(self._api, project.object_name, namespace)
        await self.records.trim(pipeline, Policy(), but=kept)

    async def _make_namespace(self, pipeline: str) -> None:
        """The lease and the record are in it; it is deleted with the pipeline if it was made for it."""
        project = await self._project(pipeline)
        settings = self._settings(project)
        if await ensure_namespace(self._api, project, settings):
            self._parts.note(f"namespace {settings.namespace} was made")

    async def _lease(self, pipeline: str) -> PipelineLease:
        project = await self._project(pipeline)
        return PipelineLease(
            self._api,
            namespace=self._settings(project).namespace,
            pipeline=pipeline,
            object_name=project.object_name,
            identity=self._identity,
            note=self._parts.note,
        )

    @cached_property
    def _identity(self) -> Identity:
        """In a pod, the host's name is the pod's."""
        if (ACCOUNT / "namespace").exists() and (pod := os.environ.get("HOSTNAME")):
            return Identity.of_pod((ACCOUNT / "namespace").read_text().strip(), pod, "")
        return Identity.of_this_process()
