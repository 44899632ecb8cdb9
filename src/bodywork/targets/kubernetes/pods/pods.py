"""The pods of a pipeline, through one watch, however many stages run.

Containers tell sooner than Jobs and Deployments what becomes of a stage, and one watch of a
namespace costs the API server as much as one of a pod. Whoever follows a stage opens a `Group`
and is woken when something about its pods has changed. Of each pod only what somebody reads is
kept, since a workflow may have a thousand of them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import POD, Object

JOB_NAME = "batch.kubernetes.io/job-name"
"""Set by Kubernetes on the pods of a Job."""

BY = (JOB_NAME, labels.STAGE)
"""The labels by which pods are looked for."""


KEPT = (
    "name",
    "namespace",
    "uid",
    "labels",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""What is kept of a pod's metadata."""


class Group:
    """The pods with one value of one label, by uid, oldest first."""

    def __init__(self) -> None:
        self.pods: dict[str, Object] = {}
        self.error: BaseException | None = None
        self._changed = asyncio.Event()

    @property
    def newest(self) -> Object | None:
        """The pod that was made last; one that is being deleted counts only when it is alone."""
        return max(self.pods.values(), key=_age, default=None)

    async def changed(self, seconds: float | None = None) -> bool:
        """Wait for a change since the last call; False: none came in time. Raises what ended the watch."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        if self.error is not None:
            raise self.error
        return True

    def wake(self) -> None:
        self._changed.set()


class Pods:
    """All pods with the labels `chosen` in a namespace. The watch starts when somebody first asks."""

    def __init__(self, api: Api, namespace: str, chosen: Mapping[str, str]) -> None:
        self._api = api
        self._namespace = namespace
        self._chosen = dict(chosen)
        self._groups: defaultdict[tuple[str, str], Group] = defaultdict(Group)
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def of(self, label: str, value: str) -> Group:
        """The pods whose label `label` (one of `BY`) has this value; those that are there are in it."""
        await self.ready()
        return self._groups[label, value]

    async def ready(self) -> None:
        """Returns when all pods that there were at first are known. Raises what ended the watch."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        await self._synced.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        try:
            async with aclosing(self._api.watch(POD, self._namespace, labels=self._chosen)) as all_seen:
                async for seen in all_seen:
                    if seen.object is None:
                        self._synced.set()
                    else:
                        self._take(seen.object, gone=seen.kind == "gone")
        except Exception as error:
            self._error = error
            for group in self._groups.values():
                group.error = error
        finally:
            self._synced.set()
            for group in self._groups.values():
                group.wake()

    def _take(self, pod: Object, *, gone: bool) -> None:
        known = pod["metadata"].get("labels", {})
        uid = pod["metadata"]["uid"]
        for label in BY:
            if label in known:
                group = self._groups[label, known[label]]
                if gone:
                    group.pods.pop(uid, None)
                else:
                    group.pods[uid] = trimmed(pod)
                group.wake()


def trimmed(pod: Object) -> Object:
    """What is read of a pod: who it is, what its containers may use, how it stands."""
    metadata, spec = pod["metadata"], pod["spec"]
    return {
        "metadata": {name: metadata[name] for name in KEPT if name in metadata},
        "spec": {
            "nodeName": spec.get("nodeName", ""),
            "tolerations": spec.get("tolerations") or [],
            **{
                key: [_container(one) for one in spec.get(key) or ()]
                for key in ("initContainers", "containers")
            },
        },
        "status": pod.get("status", {}),
    }


def _container(container: Mapping[str, Any]) -> Object:
    return {name: container[name] for name in ("name", "image", "resources") if name in container}


def _age(pod: Object) -> tuple[bool, str, str]:
    metadata = pod["metadata"]
    return "deletionTimestamp" not in metadata, metadata.get("creationTimestamp", ""), metadata["name"]
