"""The Job of an attempt, from outside of its pods: made, looked at, deleted, made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bodywork.errors import ForbiddenError, StageError
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api
from bodywork.targets.kubernetes.kinds import EVENT, JOB, POD, Object
from bodywork.targets.kubernetes.pods.diagnose import Obstacle
from bodywork.targets.kubernetes.pods.ending import ending
from bodywork.targets.kubernetes.pods.leaving import Leaving
from bodywork.targets.kubernetes.pods.pods import JOB_NAME, Group, Pods
from bodywork.targets.kubernetes.pods.refused import refused

GRACE = 10
"""Seconds between TERM and KILL when an attempt is stopped."""

FAILED = ("Failed", "FailureTarget")
"""Conditions of a Job that has failed; the second one comes first, until its pods have ended."""


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The Jobs of a namespace. `note` is told what takes its time."""

    api: Api
    pods: Pods
    namespace: str
    note: Callable[[str], None] = lambda sentence: None

    async def of(self, chosen: dict[str, str]) -> list[Object]:
        """Those with these labels."""
        return await self.api.list(JOB, self.namespace, labels=chosen)

    async def create(self, job: Object) -> Object:
        """Make it, or take over the one of that name; a failed one makes room first."""
        while True:
            try:
                return await self.api.create(job)
            except AlreadyThereError:
                there = await self.api.get(JOB, job["metadata"]["name"], self.namespace)
            if there is None:
                continue
            if not _same(there, job):
                raise StageError(
                    f"there is a Job {job['metadata']['name']} in namespace {self.namespace} that is not ours"
                )
            if not failed(there) and "deletionTimestamp" not in there["metadata"]:
                return there
            await self.delete(job["metadata"]["name"])

    async def delete(self, name: str, *, grace: int | None = GRACE) -> None:
        """Delete a Job and end its pods; returns when it is gone and its containers have ended."""
        group = await self.pods.of(JOB_NAME, name)
        await self.end(name, group, grace=grace)
        while group.pods:
            if not await group.changed(5.0):
                await self._force(group.pods.values())
        while await self.api.get(JOB, name, self.namespace) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def end(self, name: str, group: Group, *, grace: int | None = GRACE) -> None:
        """Delete a Job; returns when the containers of its pods have ended, TERM, `GRACE`, KILL.

        Of a pod on a lost node that is never seen: it is taken off the cluster's books.
        """
        await self.api.delete(JOB, name, self.namespace, propagation="Background")
        asked: set[str] = set()
        leaving = Leaving(self.api, self.note)
        while left := [pod for pod in group.pods.values() if ending(pod) is None]:
            for pod in left:
                uid = pod["metadata"]["uid"]
                if uid not in asked:
                    asked.add(uid)
                    await self.api.delete(POD, pod["metadata"]["name"], self.namespace, grace=grace, uid=uid)
            if lost := await leaving.lost(left):
                for pod in lost:
                    leaving.tell(_forced(pod))
                await self._force(lost)
            await group.changed(1.0)

    async def _force(self, pods: Iterable[Object]) -> None:
        for pod in list(pods):
            metadata = pod["metadata"]
            await self.api.delete(POD, metadata["name"], self.namespace, grace=0, uid=metadata["uid"])

    async def has_failed(self, job: Object) -> bool:
        """Whether it has, or is about to be said to have: its pod tells sooner."""
        group = await self.pods.of(JOB_NAME, job["metadata"]["name"])
        end = None if group.newest is None else ending(group.newest)
        return failed(job) or (end is not None and not end.ended.ok and not end.lost)

    async def obstacle(self, name: str) -> Obstacle | None:
        """Why a Job has no pod."""
        chosen = f"involvedObject.kind=Job,involvedObject.name={name}"
        found = await events(self.api, self.namespace, chosen)
        return refused(sorted(found, key=lambda event: str(event.get("lastTimestamp"))))


async def events(api: Api, namespace: str, fields: str) -> list[Object]:
    """What Kubernetes tells of an object; nothing where one may not see it."""
    try:
        return await api.list(EVENT, namespace, fields=fields)
    except ForbiddenError:
        return []


async def events_of(api: Api, pod: Object) -> list[Object]:
    metadata = pod["metadata"]
    return await events(api, metadata["namespace"], f"involvedObject.uid={metadata['uid']}")


def condition(job: Object, kind: str) -> str | None:
    """The message of a condition that holds; None: it does not."""
    one = _holding(job, kind)
    return None if one is None else str(one.get("message") or one.get("reason") or kind)


def _holding(job: Object, *kinds: str) -> Object | None:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] in kinds and one["status"] == "True"), None)


def failed(job: Object) -> bool:
    return _holding(job, *FAILED) is not None


def failed_by_its_pod(job: Object) -> bool:
    """Whether it has failed because its pod has, or was deleted: there is no second one."""
    one = _holding(job, *FAILED)
    return one is not None and one.get("reason") == "BackoffLimitExceeded"


def complete(job: Object) -> bool:
    return _holding(job, "Complete", "SuccessCriteriaMet") is not None


def attempt_of(job: Object) -> int:
    number: str = job["metadata"]["labels"].get(labels.ATTEMPT, "1")
    return int(number)


def _forced(pod: Object) -> str:
    return (
        f"node {pod['spec']['nodeName']} does not answer: pod {pod['metadata']['name']} on it was deleted "
        "without waiting for its end; if the node still runs, it ends the pod when it is in touch again"
    )


def _same(one: Object, other: Object) -> bool:
    mine, its = (obj["metadata"].get("labels") or {} for obj in (one, other))
    return all(mine.get(name) == its.get(name) for name in (labels.RUN, labels.STAGE, labels.PIPELINE))
