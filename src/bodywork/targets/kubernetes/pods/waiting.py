"""How long something has kept a stage from running, and whether it is still worth waiting for."""

from __future__ import annotations

import time
from collections.abc import Callable

from bodywork.targets.kubernetes.pods.diagnose import Obstacle

SILENT = 4.0
"""Seconds that a pod may say nothing about itself before its events are asked for."""

AGAIN = 5.0
"""Seconds between two looks at what no watch tells."""


class Patience:
    """What keeps one attempt from running."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since = now()
        self._asked = self._since + SILENT - AGAIN
        self._why = ""
        self.said = ""

    def restart(self) -> None:
        """Something has changed for good: a new pod, say."""
        self._since = self._now()
        self._asked = self._since + SILENT - AGAIN
        self._why = ""

    def due(self, every: float = AGAIN) -> bool:
        """Whether it is time to ask for what no watch tells; the next time comes so many seconds later."""
        if self._now() - self._asked < every:
            return False
        self._asked = self._now()
        return True

    def hopeless(self, obstacle: Obstacle) -> bool:
        """Whether this has stood in the way for longer than it is worth waiting for."""
        kind = obstacle.kind or obstacle.reason
        if kind != self._why:
            self._why, self._since = kind, self._now()
        return obstacle.patience is not None and self._now() - self._since >= obstacle.patience
