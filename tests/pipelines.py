"""Projects given as files, run through the engine on the Kubernetes target: no Git, no command, no record."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bodywork.app.execution import new_run
from bodywork.environment import Environments
from bodywork.run.engine import execute
from bodywork.run.events import Event, RunEnded, StageEnded, StageOutput, StageStarted, StageWaiting
from bodywork.run.plan import Plan, Source, make_plan
from bodywork.spec.read import read
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NAMESPACE
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.target import KubernetesTarget, Records, Surroundings

IMAGE = os.environ.get("BODYWORK_IMAGE", "localhost/bodywork:dev-python{python}")
STORE_IMAGE = os.environ.get("BODYWORK_STORE_IMAGE", "localhost/versitygw:1.8.0")


@dataclass(kw_only=True)
class Seen:
    """What was seen of a run; `events` has its output, too."""

    events: list[Event] = field(default_factory=list)

    @property
    def state(self) -> str:
        return next((e.state.value for e in self.events if isinstance(e, RunEnded)), "")

    @property
    def states(self) -> dict[str, str]:
        return {e.stage: e.state.value for e in self.events if isinstance(e, StageEnded)}

    def ended(self, stage: str) -> StageEnded:
        (found,) = [e for e in self.events if isinstance(e, StageEnded) and e.stage == stage]
        return found

    def reason(self, stage: str) -> str:
        return self.ended(stage).reason

    def output(self, stage: str) -> str:
        return "".join(e.text for e in self.events if isinstance(e, StageOutput) and e.stage == stage)

    def waits(self, stage: str) -> list[str]:
        return [e.reason for e in self.events if isinstance(e, StageWaiting) and e.stage == stage]

    def starts(self, stage: str) -> list[float]:
        return [e.at for e in self.events if isinstance(e, StageStarted) and e.stage == stage]


@dataclass(kw_only=True)
class Pipeline:
    """A project in a folder, deployed into a namespace of a cluster."""

    api: Api
    namespace: str
    home: Path
    files: dict[str, str]
    logs: dict[str, bytes] = field(default_factory=dict)
    image: str = IMAGE

    async def plan(self, run: str = "", only: frozenset[str] | None = None, **changed: str) -> Plan:
        """A plan of the files as they are now; `changed` are files by name, with _ for a dot."""
        tree = self.home / f"tree-{secrets.token_hex(4)}"
        for name, text in {**self.files, **{k.replace("__", "."): v for k, v in changed.items()}}.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(textwrap.dedent(text))
        data = (tree / "bodywork.yaml").read_bytes()
        names = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
        project, _ = read(data, file="bodywork.yaml", files=names)
        digests = {
            stage.name: (
                await self.environments.lock(stage.requirements, python=stage.python, folder=tree, as_of=None)
            ).digest
            for stage in project.all_stages
        }
        content = hashlib.sha256(b"".join((tree / name).read_bytes() for name in sorted(names))).hexdigest()
        self.tree = tree
        self.project = project
        return make_plan(
            run=run or new_run(),
            target="kubernetes",
            project=project,
            source=Source(
                repository="/nowhere",
                ref="main",
                commit=content[:40],
                file="bodywork.yaml",
                folder="",
                files=content,
            ),
            environments=digests,
            observed=await self.target().observe(project.name),
            only=only,
        )

    @property
    def environments(self) -> Environments:
        return Environments(locks=self.home / "locks", cache=self.home / "cache")

    @property
    def settings(self) -> Settings:
        ours = {"BODYWORK_STORE_IMAGE": STORE_IMAGE}
        return Settings.of(self.project, ours, namespace=self.namespace, image=self.image)

    def target(self, **records: Any) -> KubernetesTarget:
        async def keep(run: str, stage: str, text: bytes) -> None:
            self.logs[stage] = text

        return KubernetesTarget(
            self.api,
            self.settings,
            name="kubernetes",
            pipeline=self.project.object_name,
            surroundings=Surroundings(
                environments=self.environments, variables=dict(os.environ), tree=self.tree
            ),
            records=Records(keep_log=keep, **records),
        )

    async def run(
        self,
        plan: Plan,
        *,
        past: Sequence[Event] = (),
        when: Mapping[type[Event], Callable[[Any], Any]] | None = None,
        cancel: asyncio.Event | None = None,
        stop_at: Callable[[Event], bool] | None = None,
    ) -> Seen:
        """Carry it out. `when` calls (and awaits) something at events; `stop_at` leaves as if killed."""
        seen, target = Seen(), self.target()
        async with aclosing(execute(plan, target, past=past, cancel=cancel)) as events:
            async for event in events:
                seen.events.append(event)
                for kind, call in (when or {}).items():
                    if isinstance(event, kind) and (result := call(event)) is not None:
                        await result
                if stop_at is not None and stop_at(event):
                    break
        return seen

    async def deploy(self, **more: Any) -> Seen:
        return await self.run(await self.plan(), **more)


@asynccontextmanager
async def open_pipeline(api: Api, home: Path, files: dict[str, str]) -> AsyncIterator[Pipeline]:
    """A pipeline for a namespace of its own, which goes at the end with all that is in it."""
    namespace = f"bodywork-target-{secrets.token_hex(4)}"
    pipeline = Pipeline(api=api, namespace=namespace, home=home, files=files)
    try:
        yield pipeline
    finally:
        await api.delete(NAMESPACE, namespace)
