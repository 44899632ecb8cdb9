"""A pod of the release that is being rolled out: what it prints, and what keeps it from being ready."""

from __future__ import annotations

from bodywork.spec.model import Stage
from bodywork.targets.kubernetes.batch.jobs import events_of
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.pods import nodes
from bodywork.targets.kubernetes.pods.diagnose import Obstacle, condition_of, obstacle
from bodywork.targets.kubernetes.pods.ending import crash, running
from bodywork.targets.kubernetes.pods.following import Followed, Say
from bodywork.targets.kubernetes.pods.printed import Tail
from bodywork.targets.kubernetes.pods.waiting import Patience

TRIES = 3
"""So often may its preparation fail, for an index that is away, say, before the rollout does."""


class Replica:
    """One new pod. `number` counts from 1."""

    def __init__(
        self, api: Api, pod: Object, stage: Stage, number: int, key: str, say: Say, tail: Tail
    ) -> None:
        self.number = number
        self.pod = pod
        self.followed = Followed(api, pod, key, say, tail)
        self.patience = Patience()
        self._stage = stage
        self._obstacle: Obstacle | None = None
        self._lost = ""

    def see(self, pod: Object) -> None:
        """The pod as it is now."""
        self.pod = pod
        self.followed.see(pod)
        found = obstacle(pod)
        if found is not None or running(pod):
            self._obstacle = found
        if self.ready:
            self._lost = ""

    @property
    def ready(self) -> bool:
        return (condition_of(self.pod, "Ready") or {}).get("status") == "True"

    @property
    def _silent(self) -> bool:
        """Whether it does not run and does not say why."""
        return not running(self.pod) and obstacle(self.pod) is None

    @property
    def waits(self) -> str:
        """What it waits for; "" when it runs."""
        if self._lost:
            return self._lost
        return self._obstacle.reason if self._obstacle is not None and not running(self.pod) else ""

    async def ask(self, api: Api) -> None:
        """Look for what it does not say itself: its node may be lost, its events may tell."""
        self._lost = nodes.told_of_replica(self.pod) if await nodes.lost(api, self.pod) else ""
        if self._silent:
            self._obstacle = obstacle(self.pod, await events_of(api, self.pod))

    def failure(self) -> str:
        """Why it will never be ready, as the rest of a sentence; "" while it may be."""
        end = crash(self.pod)
        if end is not None:
            again = end.preparing and end.ended.retry and end.restarts <= TRIES
            before = "" if end.preparing else " before it was ready"
            return "" if again else f"{end.ended.reason or 'exited with 0'}{before}"
        if self._obstacle is not None and self.patience.hopeless(self._obstacle):
            return f"cannot run: {self._obstacle.reason}"
        return ""

    async def read_on(self) -> None:
        """Read what its ended container printed, of which nothing may be left soon."""
        await self.followed.read_to_end()

    def unready(self) -> str:
        """What keeps it from being ready, as the rest of a sentence."""
        if self.waits:
            return f"waits: {self.waits}"
        if not self.followed.began:
            doing = self.followed.doing
            return f"was still being prepared{doing and f' ({doing})'}"
        service = self._stage.service
        if service.health:
            return f"does not answer well to GET {service.health} at port {service.port}"
        return f"does not listen on port {service.port}"
