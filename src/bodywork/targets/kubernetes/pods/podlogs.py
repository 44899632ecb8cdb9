"""The log of a container, followed to its end over dropped connections: no line twice, none lost.

Kubernetes stamps each line with the time at which it was printed, to the nanosecond, but takes only
whole seconds to begin from. So after a dropped connection the last second or two are asked for again,
and as many lines of them as were told are passed over: lines keep their places. Their stamps are not
always in order, as what comes on stdout and on stderr may overtake each other.

A log that is followed ends up to a second after its container, or at the end of a file that was full
just then. So of a container that is not started anew, the rest is asked for once it is known to have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

from bodywork.errors import BodyworkError, UnreachableError
from bodywork.targets.kubernetes.client.api import Api, NotStartedError
from bodywork.targets.kubernetes.kinds import Object

CONTAINER = "stage"
STAMP = len("2026-01-01T00:00:00.000000000")
SECOND = len("2026-01-01T00:00:00")
LONGEST_LINE = 1024 * 1024
PAUSE = 0.5
QUIET = 0.05
"""Seconds without a line after which no more of the log of an ended container is on its way."""
LATE = 2.0
"""Seconds after the end of a log within which the end of its container is heard of."""


class PodLog:
    """The log of the container `stage` of a pod; `ended` is set once that container has ended.

    `once`: it is not started anew in this pod.
    """

    def __init__(self, api: Api, pod: Object, ended: asyncio.Event, *, once: bool = False) -> None:
        self._api = api
        self._name = pod["metadata"]["name"]
        self._namespace = pod["metadata"]["namespace"]
        self._ended = ended
        self._once = once
        self._lines = Lines()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What it prints as it appears, in pieces of whole lines."""
        while True:
            over = self._ended.is_set()
            try:
                async with aclosing(self._read(follow=not (over and self._once))) as pieces:
                    async for piece in pieces:
                        yield piece
            except (UnreachableError, NotStartedError):
                await asyncio.sleep(PAUSE)  # the watch of the pods decides when to give up
                continue
            except BodyworkError:  # the pod or its node is gone, and its log with it
                break
            if over or (await self._ends() and not self._once):
                break
        if rest := self._lines.rest():
            yield rest

    async def _read(self, *, follow: bool) -> AsyncGenerator[bytes, None]:
        self._lines.again()
        log = self._api.log(
            self._name,
            self._namespace,
            container=CONTAINER,
            follow=follow,
            since_time=self._lines.since or None,
            timestamps=True,
        )
        async with aclosing(log) as chunks, aclosing(self._while_it_runs(chunks, follow)) as parts:
            async for chunk in parts:
                if piece := self._lines.take(chunk):
                    yield piece

    async def _while_it_runs(self, chunks: AsyncIterator[bytes], follow: bool) -> AsyncGenerator[bytes, None]:
        """The chunks; if they are followed, and that tells all, only until the container has ended."""
        if not follow or not self._once:
            async for chunk in chunks:
                yield chunk
            return
        ended = asyncio.ensure_future(self._ended.wait())
        reading: asyncio.Task[bytes] | None = None
        try:
            while True:
                reading = asyncio.create_task(_next(chunks))
                await asyncio.wait((reading, ended), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():  # what was printed before may still be on its way
                    await asyncio.wait((reading,), timeout=QUIET)
                if not reading.done() or not (chunk := reading.result()):
                    return
                yield chunk
        finally:
            await _given_up(ended, reading)

    async def _ends(self) -> bool:
        """Whether the log ended because the container did; a connection may end like that as well."""
        try:
            async with asyncio.timeout(LATE):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    """The next chunk that holds something; b"" is the end."""
    async for chunk in chunks:
        if chunk:
            return chunk
    return b""


async def _given_up(*tasks: asyncio.Future[Any] | None) -> None:
    left = [task for task in tasks if task is not None]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class Lines:
    """Takes the stamps off the lines of a log that may be begun several times, from `since` on."""

    def __init__(self) -> None:
        self._last = ""
        """The latest stamp; after a dropped connection nothing later has been told."""
        self._counts: dict[str, int] = {}
        """Lines that were told, by their second, from `since` on."""
        self._passing = 0
        """Lines that come once more."""
        self._rest = b""
        self._inside = False
        self._known = False
        """Whether the line that is being read was told before."""
        self._second = ""
        self._at = 0
        self._told = 0
        """Bytes of the line that is being read: how many were read now, and how many were ever told."""
        self._reopened = False

    @property
    def since(self) -> str:
        """A second before the latest line; "" as long as there is none."""
        if not self._last:
            return ""
        before = datetime.fromisoformat(self._last[:SECOND]) - timedelta(seconds=1)
        return before.isoformat() + self._last[STAMP:]

    def again(self) -> None:
        """The log begins anew, at `since`; a line that was told in part will go on."""
        if self._inside and not self._known:
            self._counts[self._second] -= 1
            self._reopened = True
        begin = self.since[:SECOND]
        self._passing = sum(count for second, count in self._counts.items() if second >= begin)
        self._rest = b""
        self._inside = False

    def take(self, chunk: bytes) -> bytes:
        """The new whole lines that are complete with this chunk; a very long line comes in parts."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        found = bytearray()
        for line in whole:
            found += self._text(line, b"\n")
        if len(self._rest) > LONGEST_LINE:
            found += self._text(self._rest, b"")
            self._rest, self._inside = b"", True
        return bytes(found)

    def rest(self) -> bytes:
        """A last line without an end."""
        rest, self._rest = self._rest, b""
        return self._text(rest, b"\n") if rest else b""

    def _text(self, line: bytes, end: bytes) -> bytes:
        if self._inside:
            self._inside = not end
            return b"" if self._known else self._untold(line) + end
        stamp, _, text = line.partition(b" ")
        self._known = not self._is_new(stamp.decode("ascii", "replace"))
        if self._known:
            return b""
        self._at, self._told = 0, self._told if self._reopened else 0
        self._reopened = False
        return self._untold(text) + end

    def _is_new(self, at: str) -> bool:
        if not at[:1].isdigit():  # what has no stamp says that there is no log any more
            return False
        if self._passing and at <= self._last:
            self._passing -= 1
            return False
        self._passing = 0
        self._count(at)
        return True

    def _count(self, at: str) -> None:
        second = self._second = at[:SECOND]
        if second > self._last[:SECOND]:
            begin = self.since[:SECOND]
            self._counts = {one: count for one, count in self._counts.items() if one >= begin}
        self._counts[second] = self._counts.get(second, 0) + 1
        self._last = max(self._last, at)

    def _untold(self, text: bytes) -> bytes:
        new = text[max(0, self._told - self._at) :]
        self._at += len(text)
        self._told = max(self._told, self._at)
        return new
