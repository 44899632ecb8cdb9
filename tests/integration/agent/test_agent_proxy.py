"""The proxy between real sockets: bytes, half-closing, back-pressure, replicas that come and go."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bodywork.targets.local.address import Place, claim
from bodywork.targets.local.backend import Backend
from bodywork.targets.local.pace import Pace
from bodywork.targets.local.proxy import Proxy

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
SERVERS: list[Server] = []


class Server:
    """A server whose connections are handled by `talk`, and what the proxy knows of it."""

    def __init__(self, talk: Any) -> None:
        self._talk = talk
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> Backend:
        SERVERS.append(self)
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        return Backend("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()


def named(letter: bytes) -> Any:
    """Answers each request with one letter."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER + letter)

    return talk


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")
    writer.write_eof()


@pytest.fixture
async def made(tmp_path: Any) -> AsyncIterator[Any]:
    """Makes a proxy before some backends; returns it."""
    proxies: list[Proxy] = []
    missed: list[Backend] = []

    async def make(*backends: Backend, **pace: Any) -> Proxy:
        place: Place = claim(tmp_path, "iris", "serve", 0)
        proxy = Proxy(place, Pace(**pace), missed.append)
        proxies.append(proxy)
        await proxy.open()
        proxy.serve(backends)
        return proxy

    make.missed = missed  # type: ignore[attr-defined]
    yield make
    for proxy in proxies:
        proxy.close()
    for server in SERVERS:
        server.stop()
    SERVERS.clear()
    await asyncio.sleep(0.05)


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(proxy.place.host, proxy.place.port)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return (await asyncio.wait_for(reader.readexactly(len(ANSWER) + 1), 5))[-1:].decode()


async def test_bytes_and_ends_pass_in_both_directions(made: Any) -> None:
    proxy = await made(await Server(echo).start())
    reader, writer = await connect(proxy)
    sent = bytes(range(256)) * 40_000
    writer.write(sent)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(-1), 10) == sent + b"bye"
    writer.close()
    await until(lambda: not proxy.fronts)


async def test_a_client_that_reads_slowly_holds_the_replica_back(made: Any) -> None:
    given = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal given
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            given += 65536

    proxy = await made(await Server(flood).start())
    reader, writer = await connect(proxy)
    await reader.readexactly(1)
    writer.transport.pause_reading()
    before = -1
    while before != given:
        before = given
        await asyncio.sleep(0.3)
    assert given < 32 * 2**20
    writer.transport.abort()
    await until(lambda: not proxy.fronts)


async def test_connections_spread_over_the_replicas(made: Any) -> None:
    one, two = Server(named(b"1")), Server(named(b"2"))
    proxy = await made(await one.start(), await two.start())
    pairs = [await connect(proxy) for _ in range(10)]
    assert sorted([await ask(*pair) for pair in pairs]) == ["1"] * 5 + ["2"] * 5
    for _, writer in pairs:
        writer.close()


async def test_a_replica_that_refuses_is_passed_over_and_told_of(made: Any) -> None:
    server = Server(named(b"1"))
    dead = Backend("127.0.0.1", 1)
    proxy = await made(dead, await server.start())
    for _ in range(4):
        pair = await connect(proxy)
        assert await ask(*pair) == "1"
        pair[1].close()
    assert dead in made.missed


async def test_without_a_replica_connections_wait(made: Any) -> None:
    proxy = await made()
    pair = await connect(proxy)
    asking = asyncio.ensure_future(ask(*pair))
    await asyncio.sleep(0.2)
    assert not asking.done()
    proxy.serve([await Server(named(b"1")).start()])
    assert await asking == "1"
    pair[1].close()


async def test_without_a_replica_for_long_they_are_closed(made: Any) -> None:
    proxy = await made(hold=0.3)
    reader, writer = await connect(proxy)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_kept_connection_moves_between_two_requests(made: Any) -> None:
    old = await Server(named(b"1")).start()
    proxy = await made(old)
    pair, fresh = await connect(proxy), await connect(proxy)
    assert await ask(*pair) == "1"
    drained = asyncio.Event()
    old.on_drained(drained.set)
    proxy.serve([await Server(named(b"2")).start()])
    old.drain()
    await asyncio.wait_for(drained.wait(), 5)
    assert await ask(*pair) == "2"
    assert await ask(*fresh) == "2"
    pair[1].close()
    fresh[1].close()


async def test_pipelined_requests_are_all_answered_by_the_same(made: Any) -> None:
    gate = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            await gate.wait()
            writer.write(ANSWER + b"1")

    old = await Server(slow).start()
    proxy = await made(old)
    reader, writer = await connect(proxy)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    await asyncio.sleep(0.1)
    proxy.serve([await Server(named(b"2")).start()])
    old.drain()
    gate.set()
    await asyncio.sleep(0.2)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answers = await asyncio.wait_for(reader.readexactly(3 * (len(ANSWER) + 1)), 5)
    assert answers == (ANSWER + b"1") * 3
    writer.close()


async def test_an_answer_in_pieces_is_not_cut_by_the_switch(made: Any) -> None:
    async def piecewise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            writer.write(b"3\r\nabc\r\n")
            await asyncio.sleep(0.15)
        writer.write(b"0\r\n\r\n")
        await reader.read()

    old = await Server(piecewise).start()
    proxy = await made(old)
    reader, writer = await connect(proxy)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    proxy.serve([await Server(named(b"2")).start()])
    old.drain()
    assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5) == b"3\r\nabc\r\n" * 5 + b"0\r\n\r\n"
    assert await ask(reader, writer) == "2"
    writer.close()


async def test_a_body_after_100_continue_goes_to_whom_it_belongs(made: Any) -> None:
    async def careful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(20)
        writer.write(ANSWER + b"1")
        await reader.read()

    old = await Server(careful).start()
    proxy = await made(old)
    reader, writer = await connect(proxy)
    writer.write(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    proxy.serve([await Server(named(b"2")).start()])
    old.drain()
    writer.write(b"GET / HTTP/1.1\r\nabcd")
    assert (await asyncio.wait_for(reader.readexactly(len(ANSWER) + 1), 5))[-1:] == b"1"
    await asyncio.sleep(0.2)
    assert await ask(reader, writer) == "2"
    writer.close()


async def test_an_idle_connection_outlives_its_replica(made: Any) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER + b"1")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()

    backend = await Server(once).start()
    proxy = await made(backend)
    pair = await connect(proxy)
    assert await ask(*pair) == "1"
    await until(lambda: not backend.fronts)
    assert await ask(*pair) == "1"
    pair[1].close()


async def test_a_replica_that_dies_in_a_request_ends_the_connection(made: Any) -> None:
    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER[:10])
        await writer.drain()

    proxy = await made(await Server(dying).start())
    reader, writer = await connect(proxy)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == ANSWER[:10]
    writer.close()


async def test_throughput_beside_a_direct_connection(made: Any, capsys: Any) -> None:
    backend = await Server(named(b"1")).start()
    proxy = await made(backend)

    def rate(host: str, port: int) -> float:
        connection = http.client.HTTPConnection(host, port)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 0.5:
            connection.request("GET", "/")
            connection.getresponse().read()
            count += 1
        connection.close()
        return count / (time.monotonic() - began)

    direct = await asyncio.to_thread(rate, backend.host, backend.port)
    through = await asyncio.to_thread(rate, proxy.place.host, proxy.place.port)
    with capsys.disabled():
        print(f"\nrequests/s of one kept client: direct {direct:.0f}, through the proxy {through:.0f}")
    assert through > 0


async def until(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
