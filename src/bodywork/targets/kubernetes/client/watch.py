"""All objects of a kind, as they come, change and go: a list, then a watch that never gives up.

The protocol: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
A watch that breaks goes on from the last resource version that it has seen. When the server does not
know that version any more (410), all is listed anew, and what has vanished meanwhile is told as gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import httpx2

from bodywork.errors import BodyworkError, ForbiddenError, UnreachableError
from bodywork.targets.kubernetes.client.answers import ExpiredError, Status, error_of, status_in, status_of
from bodywork.targets.kubernetes.client.asking import Asking, Listed
from bodywork.targets.kubernetes.client.connection import Request
from bodywork.targets.kubernetes.client.plugin import LoginError
from bodywork.targets.kubernetes.client.retries import pauses
from bodywork.targets.kubernetes.client.unreachable import asking_again_helps, unreachable
from bodywork.targets.kubernetes.kinds import Kind, Object

_LASTS = 290  # seconds after which the server ends a watch, to be asked for anew
_SILENCE = _LASTS + 30.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """`set`: the object as it is now. `gone`: as it last was, or only its metadata's identity and labels.

    `synced` (without object): all that was there has been told.
    """

    kind: Literal["set", "gone", "synced"]
    object: Object | None = None


class Watch:
    """One watch of a kind, in one namespace or all, by a selection of labels and fields."""

    def __init__(
        self, asking: Asking, kind: Kind, namespace: str | None, selection: Mapping[str, str]
    ) -> None:
        self._asking = asking
        self._access = asking.access
        self._outage = asking.outage
        self._kind = kind
        self._namespace = namespace
        self._selection = selection
        self._known: dict[str, Object] = {}
        self._version = ""
        self._synced = False

    async def seen(self) -> AsyncGenerator[Seen, None]:
        """For ever. Raises what asking again cannot help: ForbiddenError, UsageError, TLS, credentials."""
        waits, failures = pauses(), 0
        while True:
            try:
                async with aclosing(self._round()) as found:
                    async for seen in found:
                        yield seen
                waits, failures = pauses(), 0
            except ExpiredError:
                self._version = ""
            except (BodyworkError, httpx2.TransportError) as error:
                failures += 1
                self._wait_for(error, told=failures > 1)
            await asyncio.sleep(next(waits))

    async def _round(self) -> AsyncGenerator[Seen, None]:
        """One list, where one is needed, and one watch, to its end."""
        if not self._version:
            # not patient: waiting is the work of `seen`, which tells of it
            listed = await self._asking.listed(self._kind, self._namespace, self._selection, patience=0.0)
            self._outage.back()
            for seen in self._relisted(listed):
                yield seen
            self._synced = True
        async with self._asking.connection.stream(self._watching(), silence=_SILENCE) as response:
            if not response.is_success:
                await response.aread()
                raise self._error(status_of(response))
            self._outage.back()
            async with aclosing(self._lines(response)) as found:
                async for line in found:
                    told = self._told(json.loads(line))
                    if told is not None:
                        yield told

    async def _lines(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """Until the stream ends or is cut, which is the same here: the next round goes on from there."""
        try:
            async with aclosing(lines(response)) as found:
                async for line in found:
                    yield line
        except httpx2.TransportError:
            self._outage.felt()

    def _relisted(self, listed: Listed) -> list[Seen]:
        """What has gone since the last list, then all that is there."""
        there = {uid(obj) for obj in listed.items}
        gone = [Seen(kind="gone", object=obj) for key, obj in self._known.items() if key not in there]
        self._known = {uid(obj): identity(obj) for obj in listed.items}
        self._version = listed.version
        return [*gone, *(Seen(kind="set", object=obj) for obj in listed.items), Seen(kind="synced")]

    def _watching(self) -> Request:
        more = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_LASTS),
        }
        params = {**self._selection, **more}
        return Request(method="GET", path=self._kind.path(self._namespace), params=params)

    def _told(self, event: Object) -> Seen | None:
        """One event of the server. Raises ExpiredError, and other errors that came as an event."""
        obj: Object = event["object"]
        if event["type"] == "ERROR":
            raise self._error(status_in(obj))
        self._version = obj["metadata"]["resourceVersion"]
        match event["type"]:
            case "BOOKMARK":
                return None
            case "DELETED":
                self._known.pop(uid(obj), None)
                return Seen(kind="gone", object=obj)
        self._known[uid(obj)] = identity(obj)
        return Seen(kind="set", object=obj)

    def _error(self, status: Status) -> BodyworkError:
        return error_of(status, f"watch {self._kind.all(self._namespace)}", self._access)

    def _wait_for(self, error: BodyworkError | httpx2.TransportError, *, told: bool) -> None:
        """Lets pass an outage, which is worth waiting for, and tells of it; raises what is none."""
        if isinstance(error, httpx2.TransportError):
            if not asking_again_helps(error):
                raise unreachable(error, self._access) from error
            error = unreachable(error, self._access)
        if isinstance(error, LoginError):
            passes = self._synced  # somebody may log in again while all goes on
        elif isinstance(error, UnreachableError):
            passes = True
            self._outage.felt()
        else:  # a server that comes back may for a moment not know its roles
            passes = isinstance(error, ForbiddenError) and self._outage.recent
        if not passes:
            raise error
        if told:
            self._outage.away(error.message)


def uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def identity(obj: Object) -> Object:
    """What is kept of an object to tell of its going: thousands of them may be watched."""
    kept = ("name", "namespace", "uid", "labels")
    metadata = {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


async def lines(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The lines of a stream, each as soon as it is whole; an object may come in many pieces."""
    pieces: list[bytes] = []
    async for chunk in response.aiter_bytes():
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            pieces.append(line)
            if any(pieces):
                yield b"".join(pieces)
            pieces = []
        pieces.append(rest)
