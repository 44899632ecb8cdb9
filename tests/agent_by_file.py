"""The agent of $BODYWORK_HOME, for whom it is as late as a file says; the tests move the time on."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from bodywork.app.here.timekeeping import be_the_agent
from bodywork.app.parts import Parts


class FileClock:
    """Seconds since the epoch are what stands in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def time(self) -> float:
        return float(self._path.read_text())

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Until it is so much later by the file, or by the world: the file may have moved on just before."""
        until, end = self.time() + seconds, time.monotonic() + seconds
        while self.time() < until and time.monotonic() < end:  # noqa: ASYNC110 - it is told by nobody
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(be_the_agent(Parts(Parts.ours_now()), clock=FileClock(Path(sys.argv[1]))))
