"""Pods that were told to end: what is waited for, and which of them a node that is lost will never report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.pods import nodes

FIRST = 2.0
"""Seconds until the nodes are looked at for the first time: most pods have ended by then."""

AGAIN = 5.0
"""Seconds between two looks."""

QUIET = 15.0
"""Seconds after which somebody who waits wants to know for what."""


class Leaving:
    """One wait for pods; `note` is told a sentence when it takes its time."""

    def __init__(
        self, api: Api, note: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._note = note
        self._now = now
        self._since = now()
        self._next = self._since + FIRST
        self._told: set[str] = set()

    @property
    def due(self) -> bool:
        """Whether it is time to look at the nodes."""
        return self._now() >= self._next

    async def lost(self, left: Sequence[Object]) -> list[Object]:
        """Those of the pods that have not ended whose end nobody will see: they are not worth waiting for."""
        if not self.due:
            return []
        self._next = self._now() + AGAIN
        found = [pod for pod in left if await nodes.lost(self._api, pod)]
        if self._now() - self._since >= QUIET:
            for pod in left:
                if pod not in found:
                    self.tell(_waits(pod))
        return found

    def tell(self, sentence: str) -> None:
        """Once."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._note(sentence)


def _waits(pod: Object) -> str:
    metadata, node = pod["metadata"], pod["spec"].get("nodeName")
    where = f" on node {node}" if node else ""
    grace = metadata.get("deletionGracePeriodSeconds")
    limit = f", for which it has {grace} s" if grace else ""
    return f"waiting for pod {metadata['name']}{where} to end{limit}"
