"""The target `kubernetes`: batch stages are Jobs, services are Deployments, in the pipeline's namespace.

What happens to a stage is seen by its pods, all of which one watch tells about. Names of objects
follow from the plan, so that any command finds again what another one has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bodywork.environment import Environments
from bodywork.errors import BodyworkError
from bodywork.run.plan import ObservedService, Plan, PlannedStage
from bodywork.spec.model import Kind
from bodywork.targets.base import Ended, Exited, Handle, Sign
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.batch.batch import Attempt
from bodywork.targets.kubernetes.batch.jobs import Jobs, attempt_of, complete, failed
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.launches import Launches, Locate
from bodywork.targets.kubernetes.manifests.job import job
from bodywork.targets.kubernetes.pods.pods import Pods
from bodywork.targets.kubernetes.pods.printed import Tail
from bodywork.targets.kubernetes.provisions import Credential, Provider, no_credential
from bodywork.targets.kubernetes.services.rollout import Rollout
from bodywork.targets.kubernetes.services.services import Services
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.store.location import Location

KeepLog = Callable[[str, str, bytes], Awaitable[None]]
"""Keeps the end of what a stage of a run (its object name) has printed, beyond the life of its pods."""


async def _nowhere(digest: str) -> Location | None:
    return None


async def _forget(run: str, stage: str, text: bytes) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Records:
    """What the target asks of the record of runs: `locate` finds where a digest was made, `keep_log`
    keeps the end of a stage's output, by its object name.
    """

    locate: Locate = _nowhere
    keep_log: KeepLog = _forget


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the target takes from this machine: files and locks of the commit, our own environment.

    `tree` holds the files of the commit (None: only to look or remove). `credential` gives the Secret
    with which pods fetch a project that is too big to be sent. `note` is told what takes its time.
    """

    environments: Environments
    variables: Mapping[str, str]
    tree: Path | None = None
    credential: Credential = no_credential
    note: Callable[[str], None] = field(default=lambda sentence: None)


class KubernetesTarget:
    """Runs stages in one namespace of a cluster. `pipeline` is the project's object name."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        *,
        name: str,
        pipeline: str,
        surroundings: Surroundings,
        records: Records | None = None,
    ) -> None:
        records = records or Records()
        self._name = name
        self._pipeline = pipeline
        self._settings = settings
        self._records = records
        self._pods = Pods(api, settings.namespace, {labels.PIPELINE: pipeline})
        note = surroundings.note
        self._jobs = Jobs(api=api, pods=self._pods, namespace=settings.namespace, note=note)
        self._services = Services(api=api, pods=self._pods, settings=settings, pipeline=pipeline, note=note)
        self._provider = Provider(
            api=api,
            settings=settings,
            environments=surroundings.environments,
            tree=surroundings.tree,
            variables=surroundings.variables,
            note=note,
            credential=surroundings.credential,
        )
        self._launches = Launches(settings=settings, locate=records.locate)
        self._left: dict[str, Object] = {}
        self._attempts: dict[Handle, Attempt | Rollout] = {}
        self._plans: dict[Handle, tuple[Plan, PlannedStage]] = {}
        self._tails: dict[str, Tail] = {}

    @property
    def name(self) -> str:
        return self._name

    async def observe(self, pipeline: str) -> Mapping[str, ObservedService]:
        return await self._services.observe()

    async def prepare(self, plan: Plan, planned: PlannedStage) -> None:
        await self._provider.provisions(plan)
        if planned.stage.kind is Kind.SERVICE:
            await self._services.check(plan, planned)
        await self._pods.ready()

    async def start(
        self,
        plan: Plan,
        planned: PlannedStage,
        *,
        attempt: int,
        inputs: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> Handle:
        name, left = planned.stage.object_name, self._left.pop(planned.stage.object_name, None)
        attempt = attempt_of(left) if left is not None else attempt
        provisions = await self._provider.provisions(plan)
        ready = await self._launches.of(plan, planned, provisions, attempt=attempt, digests=inputs)
        tail = self._tails.setdefault(name, Tail())
        started: Attempt | Rollout
        if planned.stage.kind is Kind.SERVICE:
            started = await self._services.begin(plan, planned, provisions.source.name, ready, inputs, tail)
        else:
            wanted = job(
                plan,
                planned,
                self._settings,
                attempt=attempt,
                launch=ready.launch,
                source=provisions.source.name,
                variables=variables,
                init=ready.init,
            )
            started = await self._begin(wanted, planned, tail, there=left)
        handle = Handle(stage=planned.stage.name, attempt=attempt, key=started.key)
        self._attempts[handle], self._plans[handle] = started, (plan, planned)
        return handle

    async def watch(self, handle: Handle) -> AsyncIterator[Sign]:
        started = self._attempts[handle]
        plan, planned = self._plans[handle]
        try:
            async with aclosing(started.watch()) as signs:
                async for sign in signs:
                    if isinstance(sign, Ended):
                        self._launches.made(plan, handle.stage, handle.attempt, sign.outputs)
                        yield Exited()
                        await self._keep(plan.run, planned.stage.object_name)
                    yield sign
        finally:
            del self._attempts[handle], self._plans[handle]

    async def stop(self, handle: Handle) -> None:
        if started := self._attempts.get(handle):
            await started.stop()

    async def clean(self, plan: Plan, handles: Mapping[str, str]) -> None:
        jobs = await self._jobs.of(self._of_run(plan))
        await asyncio.gather(*(self._jobs.delete(one["metadata"]["name"]) for one in jobs if not _ended(one)))
        await self._services.undo_unfinished(plan.run)

    async def regain(self, plan: Plan, handles: Mapping[str, str], *, ended: bool) -> None:
        """Jobs that run or have succeeded are kept for `start`; failed ones make room for new ones."""
        jobs = await self._jobs.of(self._of_run(plan))
        spent = []
        for one in jobs:
            if await self._spent(plan, one, ended):
                spent.append(one["metadata"]["name"])
            else:
                self._left[one["metadata"]["labels"][labels.STAGE]] = one
        await asyncio.gather(*(self._jobs.delete(name) for name in spent))
        await self._services.undo_unfinished(plan.run)

    async def remove(self, pipeline: str, services: frozenset[str]) -> None:
        await self._services.remove(services)

    async def erase(self, pipeline: str) -> None:
        """Delete all that bodywork made for the pipeline; the namespace, too, if nothing else is in it."""
        await self._services.removal.everything()

    async def close(self, plan: Plan) -> None:
        if source := self._provider.source:
            with suppress(BodyworkError):  # the next run does it
                await self._services.removal.sources(keep=source)
        await self._provider.close()
        await self._pods.close()

    async def _begin(
        self, wanted: Object, planned: PlannedStage, tail: Tail, *, there: Object | None
    ) -> Attempt:
        try:
            made = there or await self._jobs.create(wanted)
        except asyncio.CancelledError:  # it may have been made, and only the answer is missing
            await asyncio.shield(self._jobs.delete(wanted["metadata"]["name"]))
            raise
        wanted["metadata"]["name"] = made["metadata"]["name"]
        return Attempt(self._jobs, wanted, planned.stage, tail)

    def _of_run(self, plan: Plan) -> dict[str, str]:
        return {labels.PIPELINE: self._pipeline, labels.RUN: plan.run, labels.KIND: Kind.BATCH.value}

    async def _spent(self, plan: Plan, one: Object, ended: bool) -> bool:
        """Whether a Job of an earlier command is of no more use."""
        if "deletionTimestamp" in one["metadata"] or await self._jobs.has_failed(one):
            return True
        handler = plan.on_failure
        # it runs again with each failure; that of a run which was interrupted is still the same
        return (
            ended
            and handler is not None
            and one["metadata"]["labels"][labels.STAGE] == handler.stage.object_name
        )

    async def _keep(self, run: str, stage: str) -> None:
        """Keep the end of its log, before its own end is recorded: who resumes the run has not read it.

        Its pod still has the log, and it has been shown: no run fails for want of this copy.
        """
        if text := self._tails[stage].text:
            with suppress(BodyworkError):
                await self._records.keep_log(run, stage, text)


def _ended(one: Object) -> bool:
    return failed(one) or complete(one)
