"""The target `local`: batch stages are processes of this command, services belong to the agent."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bodywork.artifacts.base import Store
from bodywork.environment import Environment, Environments
from bodywork.errors import StageError
from bodywork.process import end_identity
from bodywork.run.plan import ObservedService, Plan, PlannedStage
from bodywork.secret import Secrets
from bodywork.spec.model import Input, Kind, Stage
from bodywork.targets.base import Handle, Sign
from bodywork.targets.local import variables
from bodywork.targets.local.batch import Attempt
from bodywork.targets.local.client import AgentClient
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.places import Places
from bodywork.targets.local.tether import Tether
from bodywork.targets.local.trees import copy_tree

SERVICE = "service:"
HOOK = Path(__file__).resolve().parents[2] / "stage" / "hook.py"
NOTEBOOK = HOOK.with_name("notebook.py")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the local target needs to know of its surroundings.

    `ours` is our own environment, `pass_env` the names of it that stages see on top of the usual
    ones, `parallel` how many batch stages may run at once.
    """

    places: Places
    ours: Mapping[str, str]
    pass_env: frozenset[str] = frozenset()
    parallel: int = max(16, 4 * (os.cpu_count() or 1))


class LocalTarget:
    """Runs stages on this machine. `tree` holds the project's files (None: only to look or remove)."""

    name = "local"

    def __init__(
        self,
        settings: Settings,
        *,
        environments: Environments,
        store: Store,
        secrets: Secrets,
        agent: AgentClient,
        tree: Path | None = None,
    ) -> None:
        self._settings = settings
        self._places = settings.places
        self._environments = environments
        self._store = store
        self._secrets = secrets
        self._agent = agent
        self._tree = tree
        self._slots = asyncio.Semaphore(settings.parallel)
        self._prepared: dict[str, Environment] = {}
        self._tether = Tether()
        self._attempts: dict[Handle, Attempt] = {}
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
        lock = self._environments.load(planned.environment)
        copy = asyncio.create_task(asyncio.to_thread(self._copy, plan, planned.stage))
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
        if planned.stage.inputs:
            await asyncio.to_thread(self._bring, plan, planned.stage, inputs)
        if planned.stage.kind is Kind.SERVICE:
            definition = await asyncio.to_thread(self._definition, plan, planned, inputs)
            key = f"{SERVICE}{plan.pipeline}/{planned.stage.name}/{plan.run}"
            handle = Handle(stage=planned.stage.name, attempt=attempt, key=key)
            self._rollouts[handle] = definition
            return handle
        await self._slots.acquire()
        try:
            if attempt > 1:
                await asyncio.to_thread(self._copy, plan, planned.stage)
            started = self._start_batch(plan, planned, variables)
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
        try:
            async for sign in self._attempts[handle].watch():
                yield sign
        finally:
            attempt = self._attempts.pop(handle)
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
            else:
                await asyncio.to_thread(end_identity, key)
        await asyncio.to_thread(shutil.rmtree, self._places.work(plan.run), ignore_errors=True)

    async def remove(self, pipeline: str, services: frozenset[str]) -> None:
        await self._agent.remove(pipeline, services)

    async def close(self, plan: Plan) -> None:
        self._tether.close()
        await asyncio.to_thread(shutil.rmtree, self._places.work(plan.run), ignore_errors=True)

    # -- what a stage gets ------------------------------------------------------------------

    def _copy(self, plan: Plan, stage: Stage) -> None:
        """Make the stage's own copy of the project's files."""
        if self._tree is None:
            raise StageError(f"the files of commit {plan.source.commit} are not at hand")
        copy_tree(self._tree / plan.source.folder, self._folder(plan, stage) / "project")

    def _folder(self, plan: Plan, stage: Stage) -> Path:
        """The folder with all that the stage works on: `project`, `inputs`, `outputs`."""
        if stage.kind is Kind.SERVICE:
            return self._places.service(plan.pipeline, stage.name, plan.run)
        return self._places.work(plan.run, stage.object_name)

    def _command(self, plan: Plan, stage: Stage) -> tuple[str, ...]:
        """The stage's module in its environment, run from the module's own folder."""
        python = str(self._prepared[stage.name].python)
        module = PurePosixPath(stage.run).name
        if module.endswith(".ipynb"):
            kept = self._places.notebook(plan.run, stage.object_name)
            return (python, str(NOTEBOOK), module, "--save", str(kept), *stage.args)
        return (python, module, *stage.args)

    def _variables(self, plan: Plan, planned: PlannedStage) -> dict[str, str]:
        """The stage's whole environment but for its secrets."""
        stage, folder = planned.stage, self._folder(plan, planned.stage)
        python = self._prepared[stage.name].python
        given = variables.inherited(self._settings.ours, self._settings.pass_env)
        given |= variables.for_python(python, folder / "project")
        given = variables.with_first_on_path(given, python.parent)
        hosts = [name for other in plan.project.stages for name in other.host_names]
        given = variables.without_proxy(given, hosts)
        given |= {
            "BODYWORK_PIPELINE": plan.pipeline,
            "BODYWORK_RUN": plan.run,
            "BODYWORK_STAGE": stage.name,
            "BODYWORK_COMMIT": plan.source.commit,
            "BODYWORK_TARGET": self.name,
            "GIT_COMMIT_HASH": plan.source.commit,
            "BODYWORK_HOOK": str(HOOK),
            "BODYWORK_HOSTS_FILE": str(self._agent.hosts_file(plan.pipeline)),
        }
        for output in stage.outputs:
            given[variables.artifact_variable("OUTPUT", output.name)] = str(folder / "outputs" / output.file)
        for artifact in stage.inputs:
            path = self._input(plan, stage, artifact)
            given[variables.artifact_variable("INPUT", artifact.name)] = str(path)
        return given | dict(stage.env)

    def _bring(self, plan: Plan, stage: Stage, inputs: Mapping[str, str]) -> None:
        """Copy the stage's inputs out of the store, anew for every attempt."""
        shutil.rmtree(self._folder(plan, stage) / "inputs", ignore_errors=True)
        for artifact in stage.inputs:
            self._store.get(inputs[artifact.name], self._input(plan, stage, artifact))

    def _input(self, plan: Plan, stage: Stage, artifact: Input) -> Path:
        """Where the stage finds an input; it keeps the file name of the output, for its suffix."""
        name = artifact.output
        with suppress(KeyError):
            for declared in plan.project.stage(artifact.stage).outputs:
                if declared.name == artifact.output:
                    name = PurePosixPath(declared.file).name
        return self._folder(plan, stage) / "inputs" / artifact.name / name

    def _start_batch(self, plan: Plan, planned: PlannedStage, extra: Mapping[str, str]) -> Attempt:
        stage, folder = planned.stage, self._folder(plan, planned.stage)
        for output in stage.outputs:
            (folder / "outputs" / output.file).parent.mkdir(parents=True, exist_ok=True)
        group = plan.project.secrets_group
        secret = {s.variable: self._secrets.read(s.secret, s.variable, group) for s in stage.secrets}
        if stage.run.endswith(".ipynb"):
            self._places.notebook(plan.run, stage.object_name).parent.mkdir(parents=True, exist_ok=True)
        return Attempt.start(
            stage,
            self._command(plan, stage),
            folder=folder / "project" / PurePosixPath(stage.run).parent,
            variables={**self._variables(plan, planned), **secret, **extra},
            log=self._places.log(plan.run, stage.object_name),
            outputs=folder / "outputs",
            store=self._store,
        )

    def _definition(self, plan: Plan, planned: PlannedStage, inputs: Mapping[str, str]) -> Definition:
        """What the agent has to know to keep the service running, for as long as it is wanted."""
        stage, group = planned.stage, plan.project.secrets_group
        return Definition(
            pipeline=plan.pipeline,
            stage=stage.name,
            release=plan.run,
            commit=plan.source.commit,
            fingerprint=planned.fingerprint,
            parts=planned.parts,
            inputs=dict(inputs),
            command=self._command(plan, stage),
            folder=str(self._folder(plan, stage) / "project"),
            working_directory=str(PurePosixPath(stage.run).parent),
            variables=self._variables(plan, planned),
            secrets=tuple(
                (s.variable, str(self._secrets.path(s.secret, s.variable, group))) for s in stage.secrets
            ),
            port=stage.service.port,
            replicas=stage.service.replicas,
            health=stage.service.health,
            host_names=stage.host_names,
            hook=str(HOOK),
        )
