"""A rollout under way: the new release beside the old one, and the signs that its caller is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bodywork.targets.local.logfile import Tail
from bodywork.targets.local.proxy import Proxy
from bodywork.targets.local.release import Release
from bodywork.targets.local.replica import Replica

PAUSE = 0.1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a rollout ended; `reason` is empty when all is well."""

    ok: bool
    reason: str = ""


class Report:
    """What a rollout tells its caller, who may listen late or not at all."""

    def __init__(self) -> None:
        self._signs: asyncio.Queue[str | Outcome] = asyncio.Queue()
        self._tails: list[Tail] = []

    def follow(self, release: Release) -> None:
        """Tell what the replicas print from now on."""
        self._tails = [Tail(replica.log) for replica in release.replicas]

    def began(self, key: str) -> None:
        """The modules run."""
        self._signs.put_nowait(key)

    def ended(self, outcome: Outcome) -> None:
        """Nothing comes after this."""
        self._signs.put_nowait(outcome)

    async def signs(self) -> AsyncIterator[tuple[str, str | Outcome]]:
        """`("began", key)`, `("printed", lines)` and last `("ended", outcome)`."""
        while True:
            try:
                async with asyncio.timeout(PAUSE):
                    sign = await self._signs.get()
            except TimeoutError:
                for tail in self._tails:
                    if text := tail.read():
                        yield "printed", text
                continue
            if isinstance(sign, str):
                yield "began", sign
                continue
            for tail in self._tails:
                for _ in range(8):
                    if text := tail.read(last=True):
                        yield "printed", text
            yield "ended", sign
            return


class Rollout:
    """`proxy` is one that listens at a new declared port; None: the service's own goes on."""

    def __init__(self, release: Release, report: Report, proxy: Proxy | None) -> None:
        self.release = release
        self.report = report
        self.proxy = proxy
        self.launched: set[int] = set()
        self.retries = 3
        self.failure: str | None = None
        self._began = False

    @property
    def key(self) -> str:
        d = self.release.definition
        return f"service:{d.pipeline}/{d.stage}/{d.release}"

    def note_launched(self, replica: Replica) -> None:
        """Tell the caller when the last replica's process has started."""
        self.launched.add(replica.number)
        if len(self.launched) == len(self.release.replicas) and not self._began:
            self._began = True
            self.report.began(self.key)

    @property
    def complete(self) -> bool:
        return self.failure is None and len(self.release.ready) == len(self.release.replicas)
