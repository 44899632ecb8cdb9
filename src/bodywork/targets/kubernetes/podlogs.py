"""The log of a container, followed to its end over dropped connections: no line twice, none lost.

Kubernetes stamps each line with the time at which it was printed, to the nanosecond, but takes
only whole seconds to begin from. So after a dropped connection the second of the last line is asked
for again, and what was seen of it is passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from bodywork.errors import BodyworkError, UnreachableError
from bodywork.targets.kubernetes.api import Api, NotStartedError
from bodywork.targets.kubernetes.kinds import Object

CONTAINER = "stage"
LONGEST_LINE = 1024 * 1024
PAUSE = 0.5
LATE = 2.0
"""Seconds after the end of a log within which the end of its container is heard of."""


class PodLog:
    """The log of the container `stage` of a pod; `ended` is set once that container has ended."""

    def __init__(self, api: Api, pod: Object, ended: asyncio.Event) -> None:
        self._api = api
        self._name = pod["metadata"]["name"]
        self._namespace = pod["metadata"]["namespace"]
        self._ended = ended
        self._lines = Lines()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What it prints as it appears, in pieces of whole lines."""
        while True:
            over = self._ended.is_set()
            try:
                async with aclosing(self._read()) as pieces:
                    async for piece in pieces:
                        yield piece
            except (UnreachableError, NotStartedError):
                await asyncio.sleep(PAUSE)  # the watch of the pods decides when to give up
                continue
            except BodyworkError:  # the pod or its node is gone, and its log with it
                break
            if over or await self._ends():
                break
        if rest := self._lines.rest():
            yield rest

    async def _read(self) -> AsyncGenerator[bytes, None]:
        self._lines.again()
        log = self._api.log(
            self._name,
            self._namespace,
            container=CONTAINER,
            follow=True,
            since_time=self._lines.last or None,
            timestamps=True,
        )
        async with aclosing(log) as chunks:
            async for chunk in chunks:
                if piece := self._lines.take(chunk):
                    yield piece

    async def _ends(self) -> bool:
        """Whether the log ended because the container did; a connection may end like that as well."""
        try:
            async with asyncio.timeout(LATE):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True


class Lines:
    """Takes the stamps off the lines of a log that may be begun several times. `last` is the last stamp."""

    def __init__(self) -> None:
        self.last = ""
        self._of_last = 0
        self._passed = 0
        self._rest = b""
        self._inside = False

    def again(self) -> None:
        """The log begins anew, at the second of `last`."""
        self._passed = 0
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
            return line + end
        stamp, _, text = line.partition(b" ")
        at = stamp.decode("ascii", "replace")
        if at < self.last:
            return b""
        if at == self.last:
            self._passed += 1
            if self._passed <= self._of_last:
                return b""
            self._of_last += 1
        else:
            self.last, self._of_last, self._passed = at, 1, 1
        return text + end
