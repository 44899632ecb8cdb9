"""A run in a cluster that was asked to stop: wait for its end, and say what keeps it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bodywork.errors import UnreachableError
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import POD, Object
from bodywork.targets.kubernetes.lease.lease import PipelineLease
from bodywork.targets.kubernetes.lease.lease_object import Holder
from bodywork.targets.kubernetes.pods.ending import ending
from bodywork.targets.kubernetes.pods.leaving import Leaving

PATIENCE = 90.0
"""Seconds that a run gets to end its stages after it was asked to: a pod's grace is part of it, and the
40 to 50 that Kubernetes takes to notice that a node is lost.
"""


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """`note` is told what takes its time."""

    api: Api
    lease: PipelineLease
    namespace: str
    note: Callable[[str], None]

    async def wait_for(self, first: Holder, pipeline: str) -> None:
        """Returns when the run of `first` has ended. Raises UnreachableError when it does not."""
        deadline, leaving = time.monotonic() + PATIENCE, Leaving(self.api, self.note)
        while (now := await self.lease.holder()) is not None and now.run == first.run:
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"run {now.run} ({now.who}) did not end within {PATIENCE:.0f} s",
                    hint=f"end {now.who}, then run bodywork stop {pipeline} again",
                )
            if leaving.due:
                for pod in await leaving.lost(await self._left(first.run)):
                    leaving.tell(_without(pod))
            await asyncio.sleep(0.5)

    async def _left(self, run: str) -> list[Object]:
        """The pods of its batch stages that have not ended."""
        chosen = {labels.RUN: run, labels.KIND: "batch"}
        found = await self.api.list(POD, self.namespace, labels=chosen)
        return [pod for pod in found if ending(pod) is None]


def _without(pod: Object) -> str:
    return (
        f"node {pod['spec']['nodeName']} does not answer: the run is ended without waiting for pod "
        f"{pod['metadata']['name']} on it"
    )
