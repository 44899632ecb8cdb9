"""Why a run in a cluster does not go on although it has not ended: the node of its controller is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

from bodywork.errors import ForbiddenError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import POD
from bodywork.targets.kubernetes.lease.lease import PipelineLease
from bodywork.targets.kubernetes.pods import nodes

AGAIN = 5.0
"""Seconds between two looks of somebody who follows a run."""


async def held_up(api: Api, lease: PipelineLease, run: str) -> str:
    """A sentence; "" for a run that a command elsewhere carries out, or whose pod is well."""
    held = await lease.held()
    if held is None or held.run != run or not held.identity.pod:
        return ""
    try:
        pod = await api.get(POD, held.identity.pod, held.identity.namespace)
    except ForbiddenError:
        return ""
    if pod is None or not await nodes.lost(api, pod):
        return ""
    return nodes.told_of_controller(pod)


class Told:
    """What somebody who follows a run was told last; `note` takes each new sentence once."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._next = 0.0
        self._last = ""

    @property
    def due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() >= self._next

    def tell(self, sentence: str) -> None:
        self._next = time.monotonic() + AGAIN
        if sentence and sentence != self._last:
            self._note(sentence)
        self._last = sentence
