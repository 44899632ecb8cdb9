"""One pod of a stage, followed from its first container to its end: what it prints and when it begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from bodywork.targets.base import Began, Printed, Sign
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.pods.diagnose import stage_of
from bodywork.targets.kubernetes.pods.ending import running
from bodywork.targets.kubernetes.pods.podlogs import PodLog
from bodywork.targets.kubernetes.pods.pods import JOB_NAME
from bodywork.targets.kubernetes.pods.printed import Prologue, Tail

READ_ON = 10.0
"""Seconds for which more of the log of an ended container is waited for."""

Say = Callable[[Sign], Awaitable[None]]


class Followed:
    """A pod that is followed. `say` is told when the module begins and what it prints, `tail` keeps its end.

    `prefix` is put before each line: the replica, where there are several.
    """

    def __init__(self, api: Api, pod: Object, key: str, say: Say, tail: Tail, prefix: str = "") -> None:
        self.uid: str = pod["metadata"]["uid"]
        self.pod = pod
        self.began = False
        self._api = api
        self._key = key
        self._say = say
        self._tail = tail
        self._prefix = prefix.encode()
        self._container = ""
        self.doing = ""
        """What its runtime does before the module begins."""
        self._ended = asyncio.Event()
        self._heard = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._dropped: list[asyncio.Task[None]] = []

    def see(self, pod: Object) -> None:
        """The pod as it is now: its log is read from the moment on that its container runs."""
        self.pod = pod
        status = stage_of(pod) or {}
        if not running(pod) and not _crashed(status):
            return
        container = status.get("containerID") or ""
        if container != self._container:  # it was started anew in the same pod
            self._container = container
            self._drop()
            self._ended = asyncio.Event()
            self._reading = asyncio.create_task(self._read(self._ended))
        if "running" not in status["state"]:
            self._ended.set()

    async def read_to_end(self) -> None:
        """Returns when all that the ended container printed has been said."""
        self._ended.set()
        self._heard = time.monotonic()
        while self._reading is not None and (left := self._heard + READ_ON - time.monotonic()) > 0:
            if (await asyncio.wait([self._reading], timeout=left))[0]:
                break
        await self.close()

    async def close(self) -> None:
        self._drop()
        while self._dropped:
            with suppress(asyncio.CancelledError):
                await self._dropped.pop()

    def _drop(self) -> None:
        """Read no more of it; `close` waits for the connection to be given back."""
        if self._reading is not None:
            self._reading.cancel()
            self._dropped.append(self._reading)
            self._reading = None

    async def _read(self, ended: asyncio.Event) -> None:
        prologue = Prologue()
        once = JOB_NAME in self.pod["metadata"].get("labels", {})
        async with aclosing(PodLog(self._api, self.pod, ended, once=once).pieces()) as pieces:
            async for piece in pieces:
                self._heard = time.monotonic()
                printed = prologue.take(piece)
                self.doing = prologue.last
                if prologue.began and not self.began:
                    self.began = True
                    await self._say(Began(key=self._key))
                if printed:
                    await self._print(printed)

    async def _print(self, printed: bytes) -> None:
        if self._prefix:
            printed = b"".join(self._prefix + line for line in printed.splitlines(keepends=True))
        self._tail.add(printed)
        await self._say(Printed(text=printed.decode(errors="replace")))


def _crashed(status: Mapping[str, Any]) -> bool:
    """Whether its container has ended and waits to be started anew; its log is still there."""
    return "terminated" in (status.get("lastState") or {})
