"""What stages print in a cluster: from their pods while there are any, after that from the run's record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from bodywork.app.site import Chunk
from bodywork.errors import NotFoundError
from bodywork.run.ledger import RunRecord
from bodywork.spec.model import Kind, Stage
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api, NotStartedError
from bodywork.targets.kubernetes.kinds import POD, Object
from bodywork.targets.kubernetes.pods.diagnose import stage_of
from bodywork.targets.kubernetes.pods.podlogs import CONTAINER, PodLog
from bodywork.targets.kubernetes.pods.printed import Prologue
from bodywork.targets.kubernetes.records.records import ClusterRecords

POLL = 1.0
"""Seconds between two looks for pods that have come since."""


@dataclass(frozen=True, kw_only=True)
class ClusterLogs:
    """The logs of one pipeline, whose pods are in `namespace`."""

    api: Api
    records: ClusterRecords
    namespace: str
    pipeline: str

    async def read(self, record: RunRecord, stages: Sequence[Stage]) -> AsyncGenerator[Chunk, None]:
        """What has been printed until now, stage by stage."""
        for stage in stages:
            pods = await self._pods(record, stage)
            if kept := await self._kept(record, stage, pods):
                yield kept
                continue
            for pod in pods:
                async for text in self._printed(pod):
                    yield Chunk(source=_source(stage, pod), text=text)

    async def follow(
        self, record: RunRecord, stages: Sequence[Stage], goes_on: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[Chunk, None]:
        """The same, and then what comes, until the run has ended; a service may always print more."""
        feed = _Feed()
        try:
            looking = asyncio.create_task(self._look(feed, record, stages, goes_on))
            feed.tasks.add(looking)
            while (chunk := await feed.queue.get()) is not None:
                yield chunk
            await looking  # raises what ended it
        finally:
            await feed.close()

    async def _look(
        self,
        feed: _Feed,
        record: RunRecord,
        stages: Sequence[Stage],
        goes_on: Callable[[], Awaitable[bool]],
    ) -> None:
        """Follow each pod that there is and that comes."""
        services = any(stage.kind is Kind.SERVICE for stage in stages)
        try:
            for stage in stages:
                pods = await self._pods(record, stage)
                if kept := await self._kept(record, stage, pods):
                    feed.queue.put_nowait(kept)
                    feed.ended.update((pod["metadata"]["uid"], asyncio.Event()) for pod in pods if _goes(pod))
            going, over = True, False
            while not over:
                going = going and await goes_on()
                over = not services and not going
                for stage in stages:
                    for pod in await self._pods(record, stage):
                        self._attend(feed, stage, pod, over)
                await asyncio.sleep(0 if over else POLL)
            await asyncio.gather(*feed.readers)
        finally:
            feed.queue.put_nowait(None)

    async def _kept(self, record: RunRecord, stage: Stage, pods: Sequence[Object]) -> Chunk | None:
        """The end of what a stage printed in a run that has no pods any more: its rollout failed, say.

        A pod that is being deleted may have no log any more.
        """
        if any(pod["metadata"]["labels"].get(labels.RUN) == record.run and not _goes(pod) for pod in pods):
            return None
        kept = await self.records.kept_log(record.run, stage.object_name)
        return Chunk(source=stage.name, text=_whole(kept.decode(errors="replace"))) if kept else None

    def _attend(self, feed: _Feed, stage: Stage, pod: Object, over: bool) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in feed.ended:
            feed.ended[uid] = asyncio.Event()
            reader = asyncio.create_task(self._feed(feed, stage, pod, feed.ended[uid]))
            feed.tasks.add(reader)
            feed.readers.append(reader)
        status = stage_of(pod) or {}
        if over or "terminated" in status.get("state", {}):
            feed.ended[uid].set()

    async def _feed(self, feed: _Feed, stage: Stage, pod: Object, ended: asyncio.Event) -> None:
        prologue, source = Prologue(), _source(stage, pod)
        async with aclosing(PodLog(self.api, pod, ended).pieces()) as pieces:
            async for piece in pieces:
                if text := prologue.take(piece):
                    feed.queue.put_nowait(Chunk(source=source, text=_whole(text.decode(errors="replace"))))

    async def _pods(self, record: RunRecord, stage: Stage) -> list[Object]:
        """Those of a run's batch stage, or of a service whichever run started it; oldest first."""
        chosen = {labels.PIPELINE: self.pipeline, labels.STAGE: stage.object_name}
        if stage.kind is Kind.BATCH:
            chosen[labels.RUN] = record.run
        found = await self.api.list(POD, self.namespace, labels=chosen)
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    async def _printed(self, pod: Object) -> AsyncGenerator[str, None]:
        restarts = (stage_of(pod) or {}).get("restartCount", 0)
        for previous in (True, False) if restarts else (False,):
            prologue = Prologue()
            log = self.api.log(
                pod["metadata"]["name"], self.namespace, container=CONTAINER, previous=previous
            )
            with suppress(NotStartedError, NotFoundError):
                async with aclosing(log) as pieces:
                    async for lines in _lines(pieces):
                        if text := prologue.take(lines):
                            yield text.decode(errors="replace")


def _goes(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


@dataclass
class _Feed:
    """What is being followed, and where it all comes together; None in the queue is the end."""

    queue: asyncio.Queue[Chunk | None] = field(default_factory=asyncio.Queue)
    ended: dict[str, asyncio.Event] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def _lines(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of whole lines; a last one that has no end gets one."""
    rest = b""
    async for piece in pieces:
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            yield whole + newline
    if rest:
        yield rest + b"\n"


def _source(stage: Stage, pod: Object) -> str:
    """The stage, and of a service with several replicas the last part of the pod's name."""
    if stage.kind is Kind.BATCH or stage.service.replicas == 1:
        return stage.name
    return f"{stage.name}/{pod['metadata']['name'].rpartition('-')[2]}"


def _whole(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
