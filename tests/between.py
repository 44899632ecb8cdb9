"""A server between the tool and a real cluster: passes everything on, and makes bad days on demand.

It speaks plain HTTP to the tool and to the cluster as the user of the kubeconfig, so it works with any
cluster. It runs in a thread of its own; faults are functions that look at each request.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2

from bodywork.targets.kubernetes.client.connection import Connection, Request
from bodywork.targets.kubernetes.client.kubeconfig import access
from loopback import Asked, Reply, Server

Fault = Callable[[Asked], Reply | None]
"""What is answered instead; None: the request is passed on."""
Heard = Callable[[Asked, int], None]
"""Called with a request and the status of its answer, before that is given."""


@dataclass
class Stream:
    """One watch or followed log that goes through: `asked`, and a way to end or to add to it."""

    asked: Asked
    more: asyncio.Queue[bytes | None]


class Between:
    """A context manager. `fault` and `heard` may be changed at any time; `kubeconfig` leads here."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = dict(environment)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._streams: list[Stream] = []
        self._server = Server(self._handle)
        self.fault: Fault = lambda asked: None
        self.heard: Heard = lambda asked, status: None
        self.kubeconfig = folder / "between.yaml"

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        cluster = {"server": self._server.url}
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "between",
                    "contexts": [{"name": "between", "context": {"cluster": "between", "user": "nobody"}}],
                    "clusters": [{"name": "between", "cluster": cluster}],
                    "users": [{"name": "nobody", "user": {}}],
                }
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def away(self) -> None:
        """Nothing listens, and what stood is cut."""
        self._do(self._server.stop())

    def back(self) -> None:
        self._do(self._server.start())

    def into_streams(self, event: Mapping[str, Any]) -> int:
        """Say this in all watches that stand, and end them; how many that were."""
        ended: int = self._do(self._into_streams(json.dumps(event).encode() + b"\n"))
        return ended

    def _do(self, what: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(what, self._loop)
        return future.result(60)

    async def _open(self) -> None:
        self._connection = Connection(access(self._environment, None), self._environment)
        await self._server.start()

    async def _close(self) -> None:
        await self._server.stop()
        await self._connection.close()
        await self._loop.shutdown_asyncgens()

    async def _into_streams(self, line: bytes) -> int:
        watches = [one for one in self._streams if "watch" in one.asked.params]
        for one in watches:
            one.more.put_nowait(line)
            one.more.put_nowait(None)
        return len(watches)

    async def _handle(self, asked: Asked) -> Reply | None:
        if (instead := self.fault(asked)) is not None:
            return instead
        request = Request(
            method=asked.method,
            path=asked.path,
            params=asked.params,
            content=asked.body or None,
            content_type=asked.headers.get("content-type", "application/json"),
        )
        try:
            if {"watch", "follow"} & asked.params.keys():
                return await self._streamed(asked, request)
            response = await self._connection.send(request)
        except httpx2.TransportError:
            return None
        self.heard(asked, response.status_code)
        return Reply(status=response.status_code, body=response.content, headers=_headers(response))

    async def _streamed(self, asked: Asked, request: Request) -> Reply:
        stack = AsyncExitStack()
        response = await stack.enter_async_context(self._connection.stream(request, silence=None))
        self.heard(asked, response.status_code)
        body = self._pieces(asked, response, stack)
        return Reply(status=response.status_code, body=body, headers=_headers(response))

    async def _pieces(
        self, asked: Asked, response: httpx2.Response, stack: AsyncExitStack
    ) -> AsyncIterator[bytes]:
        stream = Stream(asked, asyncio.Queue())
        self._streams.append(stream)

        async def read() -> None:
            try:
                async for chunk in response.aiter_bytes():
                    stream.more.put_nowait(chunk)
            except httpx2.TransportError:
                pass
            stream.more.put_nowait(None)

        reading = asyncio.create_task(read())
        try:
            while (piece := await stream.more.get()) is not None:
                if piece:
                    yield piece
        finally:
            self._streams.remove(stream)
            reading.cancel()
            await asyncio.wait([reading])
            await stack.aclose()


def _headers(response: httpx2.Response) -> dict[str, str]:
    names = ("content-type", "retry-after")
    return {name: response.headers[name] for name in names if name in response.headers}


def status(code: int, reason: str, **headers: str) -> Reply:
    """A failure as Kubernetes answers it."""
    body = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": f"{reason} was asked for by a test",
    }
    return Reply(status=code, body=body, headers=headers)
