"""The target `local`: batch stages are processes of this command, services belong to the agent."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path, PurePosixPath

from bodywork.artifacts.base import Store
from bodywork.environment import Environment, Environments
from bodywork.errors import StageError, UnreachableError
from bodywork.process import end_identities, marked
from bodywork.run.plan import ObservedService, Plan, PlannedStage
from bodywork.secret import Secrets
from bodywork.spec.model import Kind, Stage
from bodywork.targets.base import Handle, Sign
from bodywork.targets.local.adoption import MARK
from bodywork.targets.local.batch import Attempt
from bodywork.targets.local.client import AgentClient
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.tether import Tether
from bodywork.targets.local.unsent import Unsent
from bodywork.targets.local.workplace import HOOK, Settings, Workplace

SERVICE = "service:"


class LocalTarget:
    """Runs stages on this machine.

    `tree` holds the project's files (None: only to look or remove), `stores` opens the store of a run.
    """

    name = "local"

    def __init__(
        self,
        settings: Settings,
        *,
        environments: Environments,
        stores: Callable[[Plan], Store],
        secrets: Secrets,
        agent: AgentClient,
        tree: Path | None = None,
    ) -> None:
        self._settings = settings
        self._places = settings.places
        self._environments = environments
        self._stores = stores
        self._secrets = secrets
        self._agent = agent
        self._tree = tree
        self._slots = asyncio.Semaphore(settings.parallel)
        self._prepared: dict[str, Environment] = {}
        self._tether = Tether()
        self._attempts: dict[Handle, Attempt] = {}
        self._sending: dict[Handle, Unsent] = {}
        self._rollouts: dict[Handle, Definition] = {}

    async def observe(self, pipeline: str) -> Mapping[str, ObservedService]:
        return {
            status.definition.stage: ObservedService(
                name=status.definition.stage,
                fingerprint=status.definition.fingerprint,
                parts=status.definition.parts,
                inputs=status.definition.inputs,
                release=status.definition.release,
                url=status.url,
                ready=status.ready,
                replicas=status.definition.replicas,
                commit=status.definition.commit,
                reason=status.reason,
            )
            for status in await self._agent.services(pipeline)
        }

    async def prepare(self, plan: Plan, planned: PlannedStage) -> None:
        name = planned.stage.name
        if name in self._prepared:
            return
        if planned.stage.kind is Kind.SERVICE:
            await self._sweep(plan, name)
        lock = self._environments.load(planned.environment)
        copy = asyncio.create_task(asyncio.to_thread(self._copy, self._workplace(plan, planned.stage)))
        try:
            environment = await self._environments.build(lock)
        finally:
            await copy
        self._prepared[name] = environment

    async def start(
        self,
        plan: Plan,
        planned: PlannedStage,
        *,
        attempt: int,
        inputs: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> Handle:
        await self.prepare(plan, planned)
        place = self._workplace(plan, planned.stage)
        if planned.stage.inputs:
            await asyncio.to_thread(self._bring, place, inputs)
        if planned.stage.kind is Kind.SERVICE:
            definition = self._definition(place, planned, inputs)
            key = f"{SERVICE}{plan.pipeline}/{planned.stage.name}/{plan.run}"
            handle = Handle(stage=planned.stage.name, attempt=attempt, key=key)
            self._rollouts[handle] = definition
            return handle
        await self._slots.acquire()
        try:
            if attempt > 1:
                await asyncio.to_thread(self._copy, place)
            left = self._places.unsent(plan.run, planned.stage.object_name)
            unsent = Unsent(planned.stage, left, partial(self._stores, plan))
            if unsent.there:
                return self._hand_over(unsent, attempt)
            started = self._start_batch(place, unsent, variables)
        except BaseException:
            self._slots.release()
            raise
        self._tether.hold(started.key)
        handle = Handle(stage=planned.stage.name, attempt=attempt, key=started.key)
        self._attempts[handle] = started
        return handle

    async def watch(self, handle: Handle) -> AsyncIterator[Sign]:
        if definition := self._rollouts.get(handle):
            await self._agent.ensure()
            async with aclosing(self._agent.rollout(definition)) as signs:
                async for sign in signs:
                    yield sign
            return
        if unsent := self._sending.get(handle):
            try:
                async for sign in unsent.watch():
                    yield sign
            finally:
                self._slots.release()
            return
        try:
            async for sign in self._attempts[handle].watch():
                yield sign
        finally:
            attempt = self._attempts.pop(handle)
            if attempt.process.running:  # we cannot go on: the disk is full, say
                await attempt.process.end(grace=0.0)
            attempt.end_children()
            self._tether.release(attempt.key)
            self._slots.release()

    async def stop(self, handle: Handle) -> None:
        if definition := self._rollouts.get(handle):
            await self._agent.abort(definition.pipeline, definition.stage, definition.release)
        elif attempt := self._attempts.get(handle):
            await attempt.process.end()

    async def clean(self, plan: Plan, handles: Mapping[str, str]) -> None:
        for key in handles.values():
            if key.startswith(SERVICE):
                pipeline, stage, release = key.removeprefix(SERVICE).rsplit("/", 2)
                await self._agent.abort(pipeline, stage, release)
        await asyncio.to_thread(_end_left, plan, handles.values())
        await asyncio.to_thread(shutil.rmtree, self._places.work(plan.run), ignore_errors=True)

    async def regain(self, plan: Plan, handles: Mapping[str, str], *, ended: bool) -> None:
        """The processes of an interrupted command have lost whoever read their output: all of it ends."""
        await self.clean(plan, handles)

    async def remove(self, pipeline: str, services: frozenset[str]) -> None:
        await self._agent.remove(pipeline, services)

    async def close(self, plan: Plan) -> None:
        self._tether.close()
        await asyncio.to_thread(shutil.rmtree, self._places.work(plan.run), ignore_errors=True)

    async def _sweep(self, plan: Plan, service: str) -> None:
        """Delete the files of earlier releases that no replica uses any more; their logs stay."""
        current = {status.definition.release for status in await self._agent.services(plan.pipeline)}
        for release in self._places.service(plan.pipeline, service).glob("*/"):
            if release.name not in {*current, plan.run} and not any(release.glob("files-*")):
                for name in ("project", "inputs"):
                    await asyncio.to_thread(shutil.rmtree, release / name, ignore_errors=True)

    def _hand_over(self, unsent: Unsent, attempt: int) -> Handle:
        """What an earlier attempt has made is all that there is to do."""
        handle = Handle(stage=unsent.stage.name, attempt=attempt, key=f"unsent:{unsent.folder}")
        self._sending[handle] = unsent
        return handle

    def _bring(self, place: Workplace, inputs: Mapping[str, str]) -> None:
        """A store that is away fails this stage, not what runs beside it."""
        try:
            place.bring(self._stores(place.plan), inputs)
        except UnreachableError as error:
            raise StageError(f"what it reads cannot be had: {error.message}", hint=error.hint) from error

    def _workplace(self, plan: Plan, stage: Stage) -> Workplace:
        return Workplace(settings=self._settings, plan=plan, stage=stage)

    def _copy(self, place: Workplace) -> None:
        if self._tree is None:
            raise StageError(f"the files of commit {place.plan.source.commit} are not at hand")
        place.copy(self._tree)

    def _variables(self, place: Workplace, python: Path) -> dict[str, str]:
        hosts = self._agent.hosts_file(place.plan.pipeline)
        return place.variables(python, target=self.name, hosts=hosts)

    def _start_batch(self, place: Workplace, unsent: Unsent, extra: Mapping[str, str]) -> Attempt:
        stage, group = place.stage, place.plan.project.secrets_group
        python = self._prepared[stage.name].python
        place.make_room()
        self._tether.open()
        secret = {s.variable: self._secrets.read(s.secret, s.variable, group) for s in stage.secrets}
        return Attempt.start(
            stage,
            place.command(python),
            folder=place.project / PurePosixPath(stage.run).parent,
            variables={**self._variables(place, python), **secret, **extra, **self._tether.variables},
            log=place.log,
            outputs=place.outputs,
            unsent=unsent,
            hidden=tuple(secret.values()),
        )

    def _definition(self, place: Workplace, planned: PlannedStage, inputs: Mapping[str, str]) -> Definition:
        """What the agent has to know to keep the service running, for as long as it is wanted."""
        stage, plan = place.stage, place.plan
        python, group = self._prepared[stage.name].python, plan.project.secrets_group
        return Definition(
            pipeline=plan.pipeline,
            stage=stage.name,
            release=plan.run,
            commit=plan.source.commit,
            fingerprint=planned.fingerprint,
            parts=planned.parts,
            inputs=dict(inputs),
            command=place.command(python),
            folder=str(place.project),
            working_directory=str(PurePosixPath(stage.run).parent),
            variables=self._variables(place, python),
            secrets=tuple(
                (s.variable, str(self._secrets.path(s.secret, s.variable, group))) for s in stage.secrets
            ),
            port=stage.service.port,
            replicas=stage.service.replicas,
            health=stage.service.health,
            host_names=stage.host_names,
            hook=str(HOOK),
        )


def _end_left(plan: Plan, keys: Iterable[str]) -> None:
    """End what batch stages of an earlier command have left running; replicas are the agent's."""
    marks = (f"BODYWORK_RUN={plan.run}", f"BODYWORK_PIPELINE={plan.pipeline}")
    end_identities(marked(marks, without=MARK) | {key for key in keys if not key.startswith(SERVICE)})
