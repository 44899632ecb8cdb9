"""One attempt of a batch stage: a Job, of which one pod counts.

    no pod ──> a pod that waits ──> preparing ──> the module runs ──> ended
      ▲             │                  │              │
      └─────────────┴─── lost with its node, evicted, deleted: another pod

What the pod's container says decides, not the Job: that is a second or two sooner. The Job is asked
only when it has no pod. Kubernetes replaces pods that it evicts itself; where it does not (somebody
has deleted the pod, a node is lost with it) the Job is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from bodywork.errors import UnreachableError
from bodywork.spec.model import Stage
from bodywork.targets.base import Began, Ended, Sign, Waiting
from bodywork.targets.kubernetes.batch.jobs import (
    Jobs,
    complete,
    condition,
    events_of,
    failed,
    failed_by_its_pod,
)
from bodywork.targets.kubernetes.kinds import JOB, Object
from bodywork.targets.kubernetes.pods import nodes
from bodywork.targets.kubernetes.pods.diagnose import Obstacle, obstacle
from bodywork.targets.kubernetes.pods.ending import Ending, ending, running
from bodywork.targets.kubernetes.pods.following import Followed
from bodywork.targets.kubernetes.pods.pods import JOB_NAME
from bodywork.targets.kubernetes.pods.printed import Tail
from bodywork.targets.kubernetes.pods.signs import signs
from bodywork.targets.kubernetes.pods.waiting import AGAIN, Patience

SOON = 1.0
"""Seconds after which a stage is looked at again when its pods have not changed."""

DELETED = Ended(ok=False, reason="its Job was deleted, and not by this command", retry=False)

ROOM = 8
"""Pieces of output that wait for the engine; the log is not read on when there are more."""


class Attempt:
    """A started batch stage; `job` can make its Job anew. `tail` keeps the end of what it prints."""

    def __init__(self, jobs: Jobs, job: Object, stage: Stage, tail: Tail) -> None:
        self.name: str = job["metadata"]["name"]
        self.tail = tail
        self._jobs = jobs
        self._job = job
        self._stage = stage
        self._signs: asyncio.Queue[Sign | Exception] = asyncio.Queue(ROOM)
        self._patience = Patience()
        self._followed: Followed | None = None
        self._stopped = False

    @property
    def key(self) -> str:
        return f"job/{self._jobs.namespace}/{self.name}"

    def watch(self) -> AsyncGenerator[Sign, None]:
        """From `Waiting` or `Began` to `Ended`."""
        return signs(self._signs, self._follow)

    async def stop(self) -> None:
        """End its pod: TERM, 10 s, KILL. Returns when it has ended."""
        self._stopped = True
        group = await self._jobs.pods.of(JOB_NAME, self.name)
        await self._jobs.end(self.name, group)
        group.wake()

    async def _follow(self) -> None:
        try:
            group = await self._jobs.pods.of(JOB_NAME, self.name)
            ended: Ended | None = None
            while ended is None:
                with suppress(UnreachableError):  # what runs goes on; the watch waits for the cluster
                    ended = await self._look(group.newest)
                if ended is None:
                    await group.changed(SOON)
            await self._signs.put(ended)
        except Exception as error:
            await self._signs.put(error)
        finally:
            if self._followed is not None:
                await self._followed.close()

    async def _look(self, pod: Object | None) -> Ended | None:
        """One look at the newest pod; the end of the attempt, if that is what it shows."""
        if pod is None:
            return await self._without_pod()
        followed = await self._follow_pod(pod)
        if end := ending(pod):
            return await self._over(followed, end)
        if running(pod):
            return await self._while_running(followed)
        return await self._before_it_runs(pod)

    async def _follow_pod(self, pod: Object) -> Followed:
        if self._followed is None or self._followed.uid != pod["metadata"]["uid"]:
            if self._followed is not None:
                await self._followed.close()
            self._patience.restart()
            self._followed = Followed(self._jobs.api, pod, self.key, self._signs.put, self.tail)
        self._followed.see(pod)
        return self._followed

    async def _over(self, followed: Followed, end: Ending) -> Ended | None:
        if end.lost and not self._stopped:
            await followed.read_to_end()
            return await self._replace(end.lost)
        await followed.read_to_end()
        if end.ended.ok and not followed.began:
            await self._signs.put(Began(key=self.key))
        return end.ended

    async def _replace(self, why: str) -> Ended | None:
        """The pod was lost: Kubernetes makes another one, or, where it does not, the Job is made anew."""
        await self._say(f"{why}; it is started again")
        if self._patience.due(SOON):
            job = await self._jobs.api.get(JOB, self.name, self._jobs.namespace)
            if job is None or "deletionTimestamp" in job["metadata"]:
                return DELETED  # by `bodywork stop` elsewhere, say: it is not to come back
            if failed(job):
                await self._anew(force=False)
        return None

    async def _anew(self, *, force: bool) -> None:
        await self._jobs.delete(self.name, grace=0 if force else None)
        if not self._stopped:
            await self._jobs.create(self._job)
            self._patience.restart()
        if self._stopped:  # while it was made
            await self._jobs.delete(self.name)

    async def _while_running(self, followed: Followed) -> Ended | None:
        if self._stopped:
            return None
        deleted = "deletionTimestamp" in followed.pod["metadata"]
        suspicious = nodes.suspicious(followed.pod)
        if (deleted or suspicious) and self._patience.due():
            await self._on_lost_node(followed.pod)
        elif not deleted and not suspicious:
            await self._say("")
        return None

    async def _on_lost_node(self, pod: Object) -> bool:
        """Whether the node of its pod does not answer; once Kubernetes gives that up, it is begun anew."""
        if not await nodes.lost(self._jobs.api, pod):
            return False
        await self._say(nodes.told(pod))
        if "deletionTimestamp" in pod["metadata"]:
            await self._anew(force=True)
        return True

    async def _before_it_runs(self, pod: Object) -> Ended | None:
        found = obstacle(pod)
        if found is None and self._patience.due():
            if not self._stopped and await self._on_lost_node(pod):
                return None
            found = obstacle(pod, await events_of(self._jobs.api, pod))
            if found is None and "deletionTimestamp" in pod["metadata"]:
                found = Obstacle(reason="its pod was deleted; it is started again")
        return await self._held(found)

    async def _without_pod(self) -> Ended | None:
        if self._stopped:
            return Ended(ok=False, reason="was stopped")
        if not self._patience.due(SOON if self._followed else AGAIN):
            return None
        job = await self._jobs.api.get(JOB, self.name, self._jobs.namespace)
        if job is None or "deletionTimestamp" in job["metadata"]:
            return DELETED
        lost = failed_by_its_pod(job)
        if lost or self._followed is not None:
            await self._say("its pod was deleted; it is started again")
        if complete(job) and not self._stage.outputs:
            return Ended(ok=True)
        if lost or complete(job):
            await self._anew(force=False)  # what its pod made, or how it ended, went with the pod
            return None
        if (why := condition(job, "Failed")) is not None:
            return Ended(ok=False, reason=f"its Job failed: {why}")
        return await self._held(await self._jobs.obstacle(self.name))

    async def _held(self, found: Obstacle | None) -> Ended | None:
        """Say what is in the way; give up what nothing will mend."""
        if found is None or self._stopped:
            return None
        if self._patience.hopeless(found):
            await self._jobs.api.delete(JOB, self.name, self._jobs.namespace)
            return Ended(ok=False, reason=found.reason, retry=False)
        await self._say(found.reason)
        return None

    async def _say(self, reason: str) -> None:
        if reason != self._patience.said and not self._stopped:
            self._patience.said = reason
            await self._signs.put(Waiting(reason=reason))
