"""What the agent has to know of schedules, so that it stays for them and lets them fire."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Schedules(Protocol):
    """Fires schedules, beside the services. The agent stays as long as it is `wanted`."""

    @property
    def wanted(self) -> bool:
        """Whether there is anything to fire, or to wait for."""
        ...

    @property
    def active(self) -> int:
        """How many schedules are not paused."""
        ...

    def wake(self) -> None:
        """A command has changed something."""
        ...

    async def run(self) -> None:
        """Until it is cancelled."""
        ...


class NoSchedules:
    """For an agent that looks after services alone."""

    wanted = False
    active = 0

    def wake(self) -> None:
        pass

    async def run(self) -> None:
        await asyncio.Event().wait()
