"""A watch over dropped connections, expired versions, and a server that is away for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from bodywork.errors import ForbiddenError, UnreachableError
from bodywork.targets.kubernetes.client.api import Api, Seen
from bodywork.targets.kubernetes.kinds import POD
from loopback import Asked, Relay, Reply, Server

Connect = Callable[..., Api]


class Pods:
    """The pods of a server: `version` counts what has happened, `forget` loses the past."""

    def __init__(self) -> None:
        self.version = 0
        self.there: dict[str, dict[str, Any]] = {}
        self.past: list[dict[str, Any]] = []
        self.oldest = 0
        self.changed = asyncio.Condition()

    async def set(self, name: str, uid: str | None = None) -> None:
        kind = "MODIFIED" if name in self.there else "ADDED"
        await self._happened(kind, name, uid or f"uid-of-{name}")

    async def delete(self, name: str) -> None:
        await self._happened("DELETED", name, self.there[name]["metadata"]["uid"])

    async def forget(self) -> None:
        self.oldest = self.version
        self.past.clear()
        async with self.changed:
            self.changed.notify_all()

    async def _happened(self, kind: str, name: str, uid: str) -> None:
        self.version += 1
        metadata = {"name": name, "uid": uid, "resourceVersion": str(self.version), "labels": {"a": "b"}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        if kind == "DELETED":
            del self.there[name]
        else:
            self.there[name] = pod
        self.past.append({"type": kind, "object": pod})
        async with self.changed:
            self.changed.notify_all()

    async def answer(self, asked: Asked) -> Reply:
        if "watch" not in asked.params:
            plain = [{"metadata": pod["metadata"]} for pod in self.there.values()]
            return Reply(body={"metadata": {"resourceVersion": str(self.version)}, "items": plain})
        assert asked.params["allowWatchBookmarks"] == "true"
        since = int(asked.params["resourceVersion"])
        if since < self.oldest:
            return Reply(status=410, body={"kind": "Status", "code": 410, "reason": "Expired"})
        return Reply(body=self._events(since))

    async def _events(self, since: int) -> AsyncIterator[bytes]:
        while True:
            for event in list(self.past):
                version = int(event["object"]["metadata"]["resourceVersion"])
                if version > since:
                    since = version
                    line = json.dumps(event).encode() + b"\n"
                    yield line[:10]  # an event may come in pieces
                    yield line[10:]
            async with self.changed:
                await self.changed.wait()
            if self.oldest > since:
                gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
                yield json.dumps(gone).encode() + b"\n"
                return


def brief(seen: Seen) -> str:
    return f"{seen.kind} {seen.object['metadata']['name']}" if seen.object else seen.kind


async def told(watch: AsyncGenerator[Seen, None], count: int) -> list[str]:
    async with asyncio.timeout(20):
        return [brief(await anext(watch)) for _ in range(count)]


@pytest.fixture
def pods() -> Pods:
    return Pods()


async def test_what_is_there_then_what_happens(connect: Connect, pods: Pods) -> None:
    await pods.set("a")
    async with Server(pods.answer) as server, aclosing(connect(server.url).watch(POD, "here")) as watch:
        assert await told(watch, 2) == ["set a", "synced"]
        await pods.set("b")
        await pods.set("a")
        await pods.delete("b")
        assert await told(watch, 3) == ["set b", "set a", "gone b"]


async def test_a_dropped_connection_loses_and_repeats_nothing(connect: Connect, pods: Pods) -> None:
    notes: list[str] = []
    async with Server(pods.answer) as server, Relay(server.port) as relay:
        api = connect(f"http://127.0.0.1:{relay.port}", note=notes.append)
        async with aclosing(api.watch(POD, "here")) as watch:
            await pods.set("a")
            assert await told(watch, 2) == ["set a", "synced"]
            for number in range(3):
                waiting = asyncio.create_task(told(watch, 2))
                await asyncio.sleep(0.1)
                assert relay.cut() >= 1
                await pods.set(f"b{number}")
                await pods.delete(f"b{number}")
                assert await waiting == [f"set b{number}", f"gone b{number}"]
        assert [asked.params.get("watch") for asked in server.asked].count(None) == 1, "listed more than once"
    assert notes == [], "a connection that is there again at once is not worth a word"


async def noted(notes: list[str]) -> None:
    """Returns when the first note is there."""
    async with asyncio.timeout(20):
        while not notes:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_server_that_is_away_is_waited_for_and_told_of_once(connect: Connect, pods: Pods) -> None:
    notes: list[str] = []
    async with Server(pods.answer) as server, Relay(server.port) as relay:
        api = connect(f"http://127.0.0.1:{relay.port}", note=notes.append, patience=0)
        async with aclosing(api.watch(POD, "here")) as one, aclosing(api.watch(POD, "here")) as two:
            assert await told(one, 1) == await told(two, 1) == ["synced"]
            both = asyncio.gather(told(one, 1), told(two, 1))
            await asyncio.sleep(0.1)
            await relay.close()
            await noted(notes)
            await pods.set("meanwhile")
            with pytest.raises(UnreachableError):
                await api.version()
            await relay.open()
            assert await both == [["set meanwhile"], ["set meanwhile"]]
    assert len(notes) == 2, notes
    assert "refused" in notes[0] and "what runs in the cluster goes on" in notes[0]
    assert "answers again, after " in notes[1]


@pytest.mark.parametrize("while_away", [True, False])
async def test_an_expired_version_lists_anew_and_tells_what_has_gone(
    connect: Connect, pods: Pods, while_away: bool
) -> None:
    """410 as the status of a new watch, and as an event of one that stands."""
    for name in ("stays", "goes", "changes-hands"):
        await pods.set(name)
    async with Server(pods.answer) as server, Relay(server.port) as relay:
        api = connect(f"http://127.0.0.1:{relay.port}")
        async with aclosing(api.watch(POD, "here")) as watch:
            assert len(await told(watch, 4)) == 4
            waiting = asyncio.create_task(told(watch, 6))
            await asyncio.sleep(0.1)
            if while_away:
                await relay.close()
            async with pods.changed:
                pass
            pods.version += 10
            del pods.there["goes"], pods.there["changes-hands"]
            pods.past.clear()
            metadata = {"name": "changes-hands", "uid": "another", "resourceVersion": str(pods.version)}
            pods.there["changes-hands"] = {"metadata": metadata}
            pods.there["new"] = {"metadata": {**metadata, "name": "new", "uid": "new"}}
            await pods.forget()
            if while_away:
                await relay.open()
            assert await waiting == [
                "gone goes",
                "gone changes-hands",
                "set stays",
                "set changes-hands",
                "set new",
                "synced",
            ]


async def test_what_is_gone_says_whose_it_was(connect: Connect, pods: Pods) -> None:
    await pods.set("goes")
    async with Server(pods.answer) as server, aclosing(connect(server.url).watch(POD, "here")) as watch:
        await told(watch, 2)
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0.1)
        pods.there.clear()
        pods.past.clear()
        pods.version += 1
        await pods.forget()
        gone = (await waiting).object
    assert gone is not None
    assert (gone["apiVersion"], gone["kind"]) == ("v1", "Pod")
    assert gone["metadata"] == {"name": "goes", "uid": "uid-of-goes", "labels": {"a": "b"}}


async def test_a_refusal_ends_it(connect: Connect) -> None:
    async def refuses(asked: Asked) -> Reply:
        return Reply(status=403, body={"kind": "Status", "code": 403, "message": "no"})

    async with Server(refuses) as server:
        with pytest.raises(ForbiddenError):
            await anext(connect(server.url).watch(POD, "here"))


async def test_an_expired_login_ends_it_only_before_it_has_begun(connect: Connect, pods: Pods) -> None:
    known = False
    notes: list[str] = []

    async def answer(asked: Asked) -> Reply:
        return await pods.answer(asked) if known else Reply(status=401, body=b"who?")

    async with Server(answer) as server, Relay(server.port) as relay:
        api = connect(f"http://127.0.0.1:{relay.port}", user={"token": "old"}, note=notes.append)
        with pytest.raises(UnreachableError, match="does not accept the credentials of user `me`"):
            await anext(api.watch(POD, "here"))
        known = True
        async with aclosing(api.watch(POD, "here")) as watch:
            await told(watch, 1)
            waiting = asyncio.create_task(told(watch, 1))
            await asyncio.sleep(0.1)
            known = False
            relay.cut()
            await noted(notes)
            known = True
            await pods.set("after")
            assert await waiting == ["set after"]
    assert len(notes) == 2 and "does not accept" in notes[0]


async def test_an_object_of_a_megabyte_comes_whole(connect: Connect) -> None:
    big = "x" * 1_000_000
    metadata = {"name": "big", "uid": "1", "resourceVersion": "2"}

    async def pieces() -> AsyncIterator[bytes]:
        event = {
            "type": "ADDED",
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "data": big},
        }
        line = json.dumps(event).encode() + b"\n"
        for start in range(0, len(line), 10_000):
            yield line[start : start + 10_000]
        await asyncio.sleep(60)

    async def answer(asked: Asked) -> Reply:
        if "watch" in asked.params:
            return Reply(body=pieces())
        return Reply(body={"metadata": {"resourceVersion": "1"}, "items": []})

    async with Server(answer) as server, aclosing(connect(server.url).watch(POD)) as watch:
        assert (await anext(watch)).kind == "synced"
        assert ((await anext(watch)).object or {})["data"] == big
