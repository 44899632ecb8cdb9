"""What Kubernetes takes by itself: bare Jobs, and when things are seen to happen in a namespace.

All times are of this machine's clock, at which a watch told of a change.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from bodywork.targets.kubernetes.batch.jobs import complete
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import JOB, NAMESPACE, POD, SERVICE_ACCOUNT, Kind, Object
from bodywork.targets.kubernetes.pods.pods import JOB_NAME

TRUE = ("true",)
CLOCK = ("python3", "-c", "import time; print('module', time.time(), flush=True)")
"""Prints when it runs."""
SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@dataclass
class Course:
    """When things happened to a Job; `pod` is its name. 0.0: not seen yet."""

    pod: str = ""
    pod_made: float = 0.0
    exited: float = 0.0
    complete: float = 0.0


@dataclass
class Seen:
    """The Jobs of a namespace by name."""

    jobs: dict[str, Course] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, kind: Kind, found: Object) -> None:
        now, metadata = time.time(), found["metadata"]
        name = metadata["name"] if kind is JOB else metadata.get("labels", {}).get(JOB_NAME)
        if name is None:
            return
        course = self.jobs.setdefault(name, Course())
        if kind is JOB:
            course.complete = course.complete or (now if complete(found) else 0.0)
        else:
            course.pod, course.pod_made = metadata["name"], course.pod_made or now
            statuses = found["status"].get("containerStatuses") or ()
            if any("terminated" in one["state"] for one in statuses):
                course.exited = course.exited or now
        self.changed.set()

    async def all_complete(self, names: list[str]) -> None:
        while not all(name in self.jobs and self.jobs[name].complete for name in names):
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def watched(api: Api, namespace: str) -> AsyncIterator[Seen]:
    """Jobs and pods of a namespace are watched meanwhile; those that are there already count as seen now."""
    seen, synced = Seen(), asyncio.Barrier(3)

    async def follow(kind: Kind) -> None:
        async with aclosing(api.watch(kind, namespace)) as all_seen:
            async for one in all_seen:
                if one.object is None:
                    await synced.wait()
                elif one.kind == "set":
                    seen.take(kind, one.object)

    tasks = [asyncio.create_task(follow(kind)) for kind in (JOB, POD)]
    await synced.wait()
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def own_namespace(api: Api, name: str) -> AsyncIterator[None]:
    """A namespace that is there meanwhile."""
    await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    while await api.get(SERVICE_ACCOUNT, "default", name) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    try:
        yield
    finally:
        await api.delete(NAMESPACE, name)
        while await api.get(NAMESPACE, name) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def bare_job(name: str, namespace: str, image: str, command: tuple[str, ...]) -> Object:
    """As `kubectl create job NAME --image IMAGE -- COMMAND` makes it."""
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": SECURITY,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}},
    }


@dataclass(frozen=True)
class Bare:
    """Seconds that bare Jobs took which were made at once, and when (epoch) their commands said they ran."""

    took: float
    pod_to_exit: list[float]
    pod_to_module: list[float]


async def bare_jobs(
    api: Api, namespace: str, image: str, count: int = 1, command: tuple[str, ...] = TRUE
) -> Bare:
    """Make Jobs at once and wait for the `Complete` of the last."""
    tag = f"{time.time_ns() % 10**9:09}"
    names = [f"bare-{tag}-{number}" for number in range(count)]
    async with watched(api, namespace) as seen:
        begin = time.time()
        await asyncio.gather(*(api.create(bare_job(name, namespace, image, command)) for name in names))
        await seen.all_complete(names)
        took = time.time() - begin
        courses = [seen.jobs[name] for name in names]
        said = [await module_time(api, namespace, one.pod, names[0][:4]) for one in courses]
    return Bare(
        took=took,
        pod_to_exit=[one.exited - one.pod_made for one in courses],
        pod_to_module=[at - one.pod_made for one, at in zip(courses, said, strict=True) if at],
    )


async def module_time(api: Api, namespace: str, pod: str, container: str = "stage") -> float | None:
    """The epoch seconds that a module has printed behind the word `module`, if any."""
    if container != "stage":
        container = pod.rsplit("-", 1)[0]
    text = b"".join([part async for part in api.log(pod, namespace, container=container)])
    found = re.search(rb"^module ([0-9.]+)$", text, re.MULTILINE)
    return float(found[1]) if found else None
