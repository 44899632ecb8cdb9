"""Single requests on bad days: a server that is overloaded, starts, or goes away in the middle."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bodywork.errors import InvalidError, UnreachableError
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, JOB, LEASE
from loopback import Asked, Relay, Reply, Server

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "here"}}
Connect = Callable[..., Api]


def status(code: int, reason: str = "", message: str = "", **more: Any) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": reason, "message": message, **more}


def scripted(*replies: Reply | None) -> Server:
    """Each reply once, the last one for ever."""
    left: Iterator[Reply | None] = iter(replies[:-1])

    async def handler(asked: Asked) -> Reply | None:
        return next(left, replies[-1])

    return Server(handler)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_an_overloaded_server_is_asked_again(connect: Connect, code: int) -> None:
    async with scripted(Reply(status=code, body=status(code)), Reply(body=OBJECT)) as server:
        assert await connect(server.url).get(CONFIG_MAP, "one", "here") == OBJECT
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, headers={"Retry-After": "1"}, body=b"slow down"),
        Reply(status=503, body=status(503, details={"retryAfterSeconds": 1})),
    ],
)
async def test_it_is_asked_when_it_wants_to_be(connect: Connect, reply: Reply) -> None:
    async with scripted(reply, Reply(body=OBJECT)) as server:
        began = time.monotonic()
        assert await connect(server.url).get(CONFIG_MAP, "one", "here") == OBJECT
        assert time.monotonic() - began >= 1


async def test_patience_ends(connect: Connect) -> None:
    busy = Reply(status=503, body=status(503, message="etcd is away"))
    async with scripted(busy) as server:
        with pytest.raises(UnreachableError, match=r"overloaded or starting.*etcd is away"):
            await connect(server.url, patience=0.7).get(CONFIG_MAP, "one", "here")
        assert 2 <= len(server.asked) <= 5, "again, and not after its time"
    late = Reply(status=429, headers={"Retry-After": "60"}, body=status(429))
    async with scripted(late) as server:
        with pytest.raises(UnreachableError):
            await connect(server.url, patience=5).get(CONFIG_MAP, "one", "here")
        assert len(server.asked) == 1, "nobody waits for a minute who has 5 seconds"


async def test_a_server_that_is_away_is_waited_for(connect: Connect) -> None:
    async with scripted(Reply(body=OBJECT)) as server, Relay(server.port) as relay:
        api = connect(f"http://127.0.0.1:{relay.port}", patience=5)
        assert await api.get(CONFIG_MAP, "one", "here") == OBJECT
        await relay.close()
        with pytest.raises(UnreachableError) as caught:
            await connect(f"http://127.0.0.1:{relay.port}", patience=0).get(CONFIG_MAP, "one", "here")
        assert "the cluster `test` at 127.0.0.1:" in caught.value.message
        assert "refused" in caught.value.message
        assert "`kubectl --context test cluster-info`" in (caught.value.hint or "")
        waiting = asyncio.create_task(api.get(CONFIG_MAP, "one", "here"))
        await asyncio.sleep(0.5)
        await relay.open()
        assert await waiting == OBJECT


async def test_a_name_that_nobody_knows(connect: Connect) -> None:
    with pytest.raises(UnreachableError, match="cannot be resolved"):
        await connect("https://nowhere.invalid", patience=0).version()


async def test_the_answer_of_a_create_is_lost(connect: Connect) -> None:
    there = Reply(status=409, body=status(409, "AlreadyExists", 'configmaps "one" already exists'))
    async with scripted(None, there) as server:
        with pytest.raises(AlreadyThereError, match="already exists"):
            await connect(server.url).create(OBJECT)
        assert [asked.method for asked in server.asked] == ["POST", "POST"]


async def test_the_answer_of_a_delete_is_lost(connect: Connect) -> None:
    gone = Reply(status=404, body=status(404, "NotFound"))
    async with scripted(None, gone) as server:
        assert await connect(server.url).delete(CONFIG_MAP, "one", "here")
    async with scripted(gone) as server:
        assert not await connect(server.url).delete(CONFIG_MAP, "one", "here")


async def test_a_server_that_has_just_started_does_not_know_its_roles(connect: Connect) -> None:
    unsure = Reply(status=403, body=status(403, "Forbidden", "RBAC: not yet"))
    async with scripted(None, unsure, Reply(body=OBJECT)) as server:
        assert await connect(server.url).get(CONFIG_MAP, "one", "here") == OBJECT


async def test_other_errors_are_told_at_once_and_cut_short(connect: Connect) -> None:
    wrong = Reply(status=422, body=status(422, "Invalid", "spec: " + "wrong, " * 500))
    async with scripted(wrong) as server:
        with pytest.raises(InvalidError) as caught:
            await connect(server.url).apply(OBJECT)
        assert len(caught.value.message) < 750
        assert len(server.asked) == 1


async def test_a_quota_that_cannot_keep_pace_is_asked_again(connect: Connect) -> None:
    words = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'
    async with scripted(Reply(status=409, body=status(409, "Conflict", words)), Reply(body=OBJECT)) as server:
        assert await connect(server.url).create(OBJECT) == OBJECT


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html>Log in"),
        Reply(status=302, headers={"Location": "https://login.example"}, body=b""),
        Reply(status=400, body=b"Client sent an HTTP request to an HTTPS server."),
    ],
)
async def test_a_page_for_people_is_no_cluster(connect: Connect, reply: Reply) -> None:
    async with scripted(reply) as server:
        with pytest.raises(UnreachableError, match="is not the API of Kubernetes"):
            await connect(server.url).get(CONFIG_MAP, "one", "here")


async def test_nobody_is_asked_to_log_in(connect: Connect) -> None:
    words = 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group ""'
    async with scripted(Reply(status=403, body=status(403, "Forbidden", words))) as server:
        with pytest.raises(UnreachableError, match="does not accept the credentials") as caught:
            await connect(server.url).list(JOB, "here")
        assert "exec plugin" in (caught.value.hint or "")


async def test_a_list_whose_next_page_has_expired_begins_anew(connect: Connect) -> None:
    def item(name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}}

    async def handler(asked: Asked) -> Reply:
        if "continue" in asked.params:
            return Reply(status=410, body=status(410, "Expired"))
        if "limit" in asked.params:
            return Reply(body={"metadata": {"resourceVersion": "1", "continue": "x"}, "items": [item("a")]})
        return Reply(body={"metadata": {"resourceVersion": "2"}, "items": [item("a"), item("b")]})

    async with Server(handler) as server:
        found = await connect(server.url).list(JOB, "here")
        assert [one["metadata"]["name"] for one in found] == ["a", "b"]
        assert found[0]["kind"] == "Job"


async def test_what_is_sent(connect: Connect) -> None:
    async with scripted(Reply(body=OBJECT)) as server:
        api = connect(f"{server.url}/k8s/clusters/c-1/")
        await api.apply(OBJECT)
        await api.delete(LEASE, "run", "here", grace=0, propagation="Foreground", uid="7")
        applied, deleted = server.asked
    assert applied.method == "PATCH"
    assert applied.path == "/k8s/clusters/c-1/api/v1/namespaces/here/configmaps/one"
    assert applied.params == {"fieldManager": "bodywork", "force": "true"}
    assert applied.headers["content-type"] == "application/apply-patch+yaml"
    assert applied.headers["user-agent"].startswith("bodywork/")
    assert json.loads(applied.body) == OBJECT
    assert deleted.path.endswith("/apis/coordination.k8s.io/v1/namespaces/here/leases/run")
    options = json.loads(deleted.body)
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Foreground")
    assert options["preconditions"] == {"uid": "7"}
