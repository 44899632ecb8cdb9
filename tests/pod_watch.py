"""What becomes of the pods of batch stages on a real cluster: that none runs twice at once, or again."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Self

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import POD, Object
from bodywork.targets.kubernetes.pods.ending import ending
from ground import Ground
from tool import wait_for


@dataclass
class Seen:
    """One pod of a batch stage. `code` is None until its container has ended."""

    stage: str
    pod: str
    code: int | None = None


class PodWatch:
    """All pods of batch stages of a namespace, watched from a thread; a context manager."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.pods: dict[str, Seen] = {}
        self.wrong: list[str] = []
        self._open: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():  # not when its watch was refused
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the watch of the pods does not end"

    def successes(self) -> Counter[str]:
        return Counter(one.stage for one in self.pods.values() if one.code == 0)

    def check(self, **successes: int) -> None:
        """That each stage succeeded so often, and that nothing went wrong on the way."""
        wait_for(lambda: all(one.code is not None for one in self.pods.values()), seconds=30)
        assert self.wrong == []
        assert self.successes() == successes, self.pods

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._watch())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    async def _watch(self) -> None:
        chosen = {labels.KIND: "batch"}
        async with (
            Api.open(self._ground.environment) as api,
            aclosing(api.watch(POD, self._ground.name, labels=chosen)) as all_seen,
        ):
            async for seen in all_seen:
                if seen.object is None:
                    self._ready.set()
                else:
                    self._take(seen.object, gone=seen.kind == "gone")

    def _take(self, pod: Object, *, gone: bool) -> None:
        uid, stage = pod["metadata"]["uid"], pod["metadata"]["labels"][labels.STAGE]
        new = uid not in self.pods
        mine = self.pods.setdefault(uid, Seen(stage, pod["metadata"]["name"]))
        if new:
            for other in self.pods.values():
                if other is mine or other.stage != stage:
                    continue
                if other.code is None:
                    self.wrong.append(f"{mine.pod} was made while {other.pod} had not ended")
                elif other.code == 0:
                    self.wrong.append(f"{mine.pod} was made although {other.pod} had succeeded")
        if gone and mine.code is None:
            mine.code = -1
        elif not gone and (end := ending(pod)) is not None and mine.code is None:
            mine.code = 0 if end.ended.ok else (end.ended.exit_code or -1)
