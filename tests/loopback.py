"""Real servers on loopback for tests of what Kubernetes does only on bad days: an HTTP server that
answers as it is told, and a relay of connections that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, kw_only=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: dict[str, Any] | None = None  # the client's certificate

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """`body`: JSON, or a stream of pieces. `cut`: the connection breaks instead of ending the answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


Handler = Callable[[Asked], Awaitable[Reply | None]]


class Server:
    """Answers by `handler`; None as a reply closes the connection without one."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._context = context
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """No new connection, and an end to those that stand."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        tls = writer.get_extra_info("ssl_object")
        peer = tls.getpeercert() if tls else None
        asked = Asked(method=method, target=target, headers=headers, body=body, peer=peer)
        self.asked.append(asked)
        reply = await self._handler(asked)
        if reply is None:
            return False
        await _send(writer, reply)
        return not reply.cut


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    streamed = isinstance(reply.body, AsyncIterator)
    body = (
        b"" if streamed else reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    )
    length = {"Transfer-Encoding": "chunked"} if streamed else {"Content-Length": str(len(body))}
    headers = {"Content-Type": "application/json", **length, **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {reply.status} Said\r\n{lines}\r\n".encode() + body)
    await writer.drain()
    if not streamed:
        return
    async for piece in reply.body:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    if not reply.cut:
        writer.write(b"0\r\n\r\n")
        await writer.drain()


class Relay:
    """Passes connections on, as a proxy does if it is to be one: after a CONNECT, or by SOCKS 5."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, proxy: Literal["", "http", "socks"] = ""
    ) -> None:
        self._to = (host, port)
        self._proxy = proxy
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.asked: list[str] = []
        self.port = 0

    async def __aenter__(self) -> Relay:
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """As a server that went away: nothing listens, and what stood is cut."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.sleep(0.05)

    def cut(self) -> int:
        """How many connections were cut."""
        cut = len(self._writers)
        for writer in list(self._writers):
            writer.transport.abort()
        return cut // 2

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._proxy == "http":
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 200 Go on\r\n\r\n")
        elif self._proxy == "socks":
            self.asked.append(await _socks(reader, writer))
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            for end in (writer, far_writer):
                end.transport.abort()


async def _socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """The name that is asked for (RFC 1928, without authentication)."""
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    assert (await reader.readexactly(4)) == b"\x05\x01\x00\x03", "a name was to be asked for"
    name = await reader.readexactly((await reader.readexactly(1))[0])
    port = int.from_bytes(await reader.readexactly(2), "big")
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    return f"{name.decode()}:{port}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
