"""What all stages of a run need in the cluster before any of them starts: namespace, files, store.

It is made once per run, by whichever stage is prepared first; the others wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bodywork.environment import Environments, Lock
from bodywork.errors import ForbiddenError, NotFoundError, StageError
from bodywork.run.plan import Plan
from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api
from bodywork.targets.kubernetes.kinds import NAMESPACE, SECRET
from bodywork.targets.kubernetes.manifests.namespace import namespace
from bodywork.targets.kubernetes.manifests.source import (
    CONTENT,
    SOURCE,
    Source,
    gather,
    source_in,
    source_secret,
)
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.store import store as stores
from bodywork.targets.kubernetes.store.store import PipelineStore

Credential = Callable[[Plan], Awaitable[str | None]]
"""The Secret with which pods fetch a project that is too big to be sent; None: there is none."""


async def no_credential(plan: Plan) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Provisions:
    """`source` is in the cluster as a Secret; `locks` are by digest; no `store`: no stage needs one.

    `credential` is a Secret with which a project that is not whole in `source` is fetched from Git.
    """

    source: Source
    locks: Mapping[str, Lock]
    store: PipelineStore | None
    credential: str | None = None


@dataclass(kw_only=True)
class Provider:
    """Makes the provisions of one run.

    `tree` holds the project's files, `variables` are the command's own environment, in which a
    store of the user's may find its credential.
    """

    api: Api
    settings: Settings
    environments: Environments
    tree: Path | None
    variables: Mapping[str, str]
    note: Callable[[str], None] = lambda sentence: None
    credential: Credential = no_credential
    _making: asyncio.Task[Provisions] | None = field(default=None, init=False)

    async def provisions(self, plan: Plan) -> Provisions:
        """Raises UsageError, StageError."""
        if self._making is None:
            self._making = asyncio.create_task(self._make(plan))
        return await asyncio.shield(self._making)

    @property
    def source(self) -> str | None:
        """The name of the Secret with the run's files, once all is there."""
        made = self._making
        if made is None or not made.done() or made.cancelled() or made.exception():
            return None
        return made.result().source.name

    async def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])
            if not self._making.cancelled():
                self._making.exception()  # whoever waited has heard of it

    async def _make(self, plan: Plan) -> Provisions:
        gathering = asyncio.create_task(self._gather(plan))
        try:
            await ensure_namespace(self.api, plan.project, self.settings)
            opening = asyncio.create_task(
                stores.ensure(self.api, plan, self.settings, self.variables, note=self.note)
            )
            try:
                source, locks = await gathering
                await self.put_source(plan, source)
                credential = None if source.whole else await self.credential(plan)
                return Provisions(source=source, locks=locks, store=await opening, credential=credential)
            finally:
                await _ended(opening)
        finally:
            await _ended(gathering)

    async def put_source(self, plan: Plan, source: Source) -> None:
        """Its name says what is in it: one that is there already is the same."""
        try:
            await self.api.create(source_secret(plan, source, self.settings))
        except AlreadyThereError:
            return

    async def _gather(self, plan: Plan) -> tuple[Source, dict[str, Lock]]:
        """From this machine, or as an earlier command left it in the cluster."""
        digests = {planned.environment for planned in plan.all_stages}
        with contextlib.suppress(NotFoundError):
            if self.tree is not None:
                return await asyncio.to_thread(self._gathered, self.tree / plan.source.folder, digests)
        if source := await kept_source(self.api, plan, self.settings.namespace):
            return source, source.locks()
        raise StageError(
            f"the files of commit {plan.source.commit[:12]} and its locks are not at hand: not on this "
            f"machine, and no Secret of namespace {self.settings.namespace} has them any more",
            hint="deploy the commit anew: bodywork deploy REPOSITORY --ref COMMIT",
        )

    def _gathered(self, folder: Path, digests: Iterable[str]) -> tuple[Source, dict[str, Lock]]:
        locks = {digest: self.environments.load(digest) for digest in sorted(digests)}
        return gather(folder, locks.values(), wheels=self.environments.wheels), locks


async def kept_source(api: Api, plan: Plan, namespace: str) -> Source | None:
    """What a run of the same commit, maybe this one, has left in the cluster, if it has all the locks."""
    digests = {planned.environment for planned in plan.all_stages}
    chosen = {**labels.of_pipeline(plan.project), CONTENT: SOURCE, labels.COMMIT: plan.source.commit}
    for secret in await api.list(SECRET, namespace, labels=chosen):
        source = source_in(secret)
        if digests <= source.locks().keys():
            return source
    return None


async def ensure_namespace(api: Api, project: Project, settings: Settings) -> bool:
    """Whether it had to be made. Raises ForbiddenError with who could."""
    name = settings.namespace
    try:
        if await api.get(NAMESPACE, name) is not None:
            return False
    except ForbiddenError:  # namespaces are of the whole cluster; those who have one may not see it
        return False
    try:
        await api.create(namespace(project, settings))
    except AlreadyThereError:
        return False
    except ForbiddenError as error:
        raise ForbiddenError(
            f"there is no namespace {name}, and {api.user or 'this account'} may not make one",
            hint=f"have it made (kubectl create namespace {name}), or name another one with --namespace",
        ) from error
    return True


async def _ended(task: asyncio.Task[object]) -> None:
    """Leave no task behind, whatever became of it."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
