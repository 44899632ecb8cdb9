"""The switch to a new release under load: no request fails, and the old release falls silent."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any


async def switch_under_load(
    place: Any, first: Any, second: Any, *, path: str = "/"
) -> tuple[list[Any], float]:
    """Roll `second` out while clients ask; returns their requests and when the switch was reported."""
    assert (await place.rollout(first)).ok
    url = (await place.service()).url
    load = asyncio.ensure_future(place.load(url, 7.0, path))
    await asyncio.sleep(1.5)
    ended = await place.rollout(second)
    switched = time.monotonic()
    assert ended.ok, ended
    return await load, switched


def assert_clean(requests: list[Any], switched: float) -> None:
    failed = [request for request in requests if request.error]
    assert not failed, failed
    late = [r for r in requests if r.release == "run-1" and r.asked > switched + 0.1]
    assert not late, late
    assert {r.release for r in requests} == {"run-1", "run-2"}
    assert {r.kind for r in requests if r.release == "run-2"} == {"new", "kept", "post"}


async def test_no_request_fails_and_none_is_answered_by_the_old_release(place: Any) -> None:
    requests, switched = await switch_under_load(
        place, place.release("run-1", replicas=2), place.release("run-2", replicas=2)
    )
    assert len(requests) > 300
    assert_clean(requests, switched)


async def test_one_replica_is_enough(place: Any) -> None:
    requests, switched = await switch_under_load(place, place.release("run-1"), place.release("run-2"))
    assert_clean(requests, switched)


async def test_requests_that_take_a_while_are_finished_by_whom_they_were_given(place: Any) -> None:
    requests, switched = await switch_under_load(
        place, place.release("run-1"), place.release("run-2"), path="/slow/0.4"
    )
    assert_clean(requests, switched)
    first = min(r.asked for r in requests if r.release == "run-2")
    assert [r for r in requests if r.release == "run-1" and r.answered > first + 0.05]


async def test_servers_that_end_every_answer_by_closing(place: Any) -> None:
    variables = {"MODE": "old"}
    requests, switched = await switch_under_load(
        place, place.release("run-1", variables=variables), place.release("run-2", variables=variables)
    )
    assert_clean(requests, switched)


async def test_a_rollout_that_fails_costs_no_request(place: Any) -> None:
    assert (await place.rollout(place.release("run-1"))).ok
    url = (await place.service()).url
    load = asyncio.ensure_future(place.load(url, 3.0))
    await asyncio.sleep(1.0)
    assert not (await place.rollout(place.release("run-2", variables={"MODE": "die"}))).ok
    requests = await load
    assert not [r for r in requests if r.error]
    assert {r.release for r in requests} == {"run-1"}


async def test_switching_back_and_forth(place: Any) -> None:
    assert (await place.rollout(place.release("run-0"))).ok
    url = (await place.service()).url
    load = asyncio.ensure_future(place.load(url, 6.0))
    await asyncio.sleep(1.0)
    for number in range(1, 6):
        assert (await place.rollout(place.release(f"run-{number}"))).ok
    requests = await load
    assert not [r for r in requests if r.error]
    assert (await place.get(url)).startswith("run-5 ")


async def test_an_unknown_protocol_stays_until_the_drain_is_over(place: Any) -> None:
    place.pace(drain=3.0, cut=3.5, grace=1.0)
    await place.rollout(place.release("run-1"))
    url = (await place.service()).url
    host, _, port = url[7:].partition(":")
    with socket.create_connection((host, int(port))) as strange:
        strange.sendall(b"\x16\x03\x01 hello")
        [old] = await place.pids()
        began = time.monotonic()
        assert (await place.rollout(place.release("run-2"))).ok
        assert old in place.processes()
        await place.until(lambda: old not in place.processes())
        assert time.monotonic() - began > 3.0


async def test_a_kept_connection_that_is_idle_at_the_switch_goes_on(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    url = (await place.service()).url
    host, _, port = url[7:].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def ask() -> str:
        writer.write(b"GET / HTTP/1.1\r\nHost: serve\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        return (await reader.readexactly(length)).decode()

    assert (await ask()).startswith("run-1 ")
    [old] = await place.pids()
    await place.rollout(place.release("run-2"))
    await place.until(lambda: old not in place.processes())
    assert (await ask()).startswith("run-2 ")
    assert (await ask()).startswith("run-2 ")
    writer.close()
    await writer.wait_closed()
