"""A rollout under way: new pods of a service beside those that serve, until they can take over.

Kubernetes takes pods of the old release away only once new ones are ready. What cannot become ready
(it exits, its image is not there) fails at once, or after a while, instead of being started again for
ever; then, as after `stop`, the release before it is put back, which has never stopped serving.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bodywork.errors import UnreachableError
from bodywork.run.plan import Plan, PlannedStage
from bodywork.targets.base import Ended, Sign, Waiting
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, Object
from bodywork.targets.kubernetes.pods.ending import ending
from bodywork.targets.kubernetes.pods.pods import Group, Pods
from bodywork.targets.kubernetes.pods.printed import Tail
from bodywork.targets.kubernetes.pods.refused import said_of
from bodywork.targets.kubernetes.pods.signs import signs
from bodywork.targets.kubernetes.pods.waiting import Patience
from bodywork.targets.kubernetes.services.releases import done
from bodywork.targets.kubernetes.services.replica import Replica

ROOM = 8
LAST_LINES = 10

SETTLE = 1.5
"""Seconds until no node sends requests to pods that have been told to end."""


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What is done when a rollout is complete (`finish`), or is not to be (`undo`)."""

    finish: Callable[[], Coroutine[Any, Any, None]]
    undo: Callable[[], Coroutine[Any, Any, None]]


class Rollout:
    """The rollout of one service; its Deployment is applied already. `tail` keeps the end of its output."""

    def __init__(
        self,
        api: Api,
        pods: Pods,
        plan: Plan,
        planned: PlannedStage,
        ends: Ends,
        tail: Tail,
        *,
        namespace: str,
    ) -> None:
        self._api = api
        self._pods = pods
        self._run = plan.run
        self._stage = planned.stage
        self._name = planned.stage.object_name
        self._namespace = namespace
        self._ends = ends
        self._tail = tail
        self._signs: asyncio.Queue[Sign | Exception] = asyncio.Queue(ROOM)
        self._replicas: dict[str, Replica] = {}
        self._patience = Patience()
        self._said = ""
        self._stopped: str | None = None
        self._undoing: asyncio.Task[None] | None = None
        self._complete = False

    @property
    def key(self) -> str:
        return f"service/{self._namespace}/{self._name}/{self._run}"

    def watch(self) -> AsyncGenerator[Sign, None]:
        """From `Waiting` or `Began` to `Ended`."""
        return signs(self._signs, self._follow)

    async def stop(self) -> None:
        """Put the release before it back. Returns when no new pod runs any more."""
        if self._complete:
            return
        if self._stopped is None:
            self._stopped = self._obstacle()
        await self._undo()
        (await self._group()).wake()

    async def _group(self) -> Group:
        return await self._pods.of(labels.STAGE, self._name)

    async def _undo(self) -> None:
        if self._undoing is None or (self._undoing.done() and self._undoing.exception()):
            self._undoing = asyncio.create_task(self._ends.undo())
        await asyncio.shield(self._undoing)

    async def _follow(self) -> None:
        try:
            group = await self._group()
            ended: Ended | None = None
            while ended is None:
                with suppress(UnreachableError):  # the watch of the pods waits for the cluster
                    ended = await self._look(group)
                if ended is None:
                    await group.changed(1.0)
            await self._signs.put(ended)
        except Exception as error:
            await self._signs.put(error)
        finally:
            for replica in self._replicas.values():
                await replica.followed.close()

    async def _look(self, group: Group) -> Ended | None:
        if self._stopped is not None:
            await self._undo()
            return Ended(ok=False, reason=self._stopped)
        mine = [pod for pod in group.pods.values() if pod["metadata"]["labels"].get(labels.RUN) == self._run]
        self._see(mine)
        for replica in self._replicas.values():
            if reason := replica.failure():
                return await self._failed(f"{self._named(replica)}{reason}", replica)
        for replica in self._replicas.values():
            if not replica.ready and replica.patience.due():
                await replica.ask(self._api)
        ready = sum(replica.ready for replica in self._replicas.values())
        if ready or self._patience.due():
            return await self._look_at_deployment(ready)
        await self._say()
        return None

    def _see(self, mine: list[Object]) -> None:
        """Take in the new pods as they are now; those that are gone or leave do not count."""
        there = {pod["metadata"]["uid"]: pod for pod in mine if "deletionTimestamp" not in pod["metadata"]}
        for uid in self._replicas.keys() - there.keys():
            del self._replicas[uid]
        for uid, pod in there.items():
            if uid not in self._replicas:
                number = 1 + max((one.number for one in self._replicas.values()), default=0)
                self._replicas[uid] = Replica(
                    self._api, pod, self._stage, number, self.key, self._signs.put, self._tail
                )
            self._replicas[uid].see(pod)

    async def _look_at_deployment(self, ready: int) -> Ended | None:
        deployment = await self._api.get(DEPLOYMENT, self._name, self._namespace)
        if deployment is None:
            return Ended(ok=False, reason="its Deployment was deleted, and not by this command", retry=False)
        if ready and done(deployment):
            self._complete = True
            await asyncio.gather(self._ends.finish(), self._settled())
            return Ended(ok=True)
        for one in (deployment.get("status") or {}).get("conditions") or ():
            if one["type"] == "ReplicaFailure" and one["status"] == "True":
                found = said_of(one.get("message") or "")
                if self._patience.hopeless(found):
                    return await self._failed(found.reason, None)
                await self._say(found.reason)
                return None
        await self._say()
        return None

    async def _settled(self) -> None:
        """Let all nodes learn that the old pods, which finish what they have, get no more requests."""
        group = await self._group()
        if any(_serves_still(pod, self._run) for pod in group.pods.values()):
            await asyncio.sleep(SETTLE)

    async def _say(self, reason: str | None = None) -> None:
        """What keeps the first replica that does not run from running, if that is nothing of its own."""
        if reason is None:
            waits = [replica.waits for replica in self._replicas.values() if replica.waits]
            reason = waits[0] if waits else ""
        if reason != self._said:
            self._said = reason
            await self._signs.put(Waiting(reason=reason))

    async def _failed(self, reason: str, replica: Replica | None) -> Ended:
        """Give it up; the last lines that it printed tell more."""
        if replica is not None:
            await replica.read_on()
        await self._undo()
        lines = self._tail.lines(LAST_LINES)
        if lines:
            reason = "\n".join([f"{reason}; the last that it printed:", *(f"  {line}" for line in lines)])
        return Ended(ok=False, reason=reason, retry=False)

    def _obstacle(self) -> str:
        """What keeps it from being ready, as a clause."""
        for replica in self._replicas.values():
            if not replica.ready:
                return f"{self._named(replica)}{replica.unready()}"
        return self._said or "its pods were not made"

    def _named(self, replica: Replica) -> str:
        return f"replica {replica.number} " if self._stage.service.replicas > 1 else "it "


def _serves_still(pod: Object, run: str) -> bool:
    known = pod["metadata"]["labels"]
    return known.get(labels.KIND) == "service" and known.get(labels.RUN) != run and ending(pod) is None
