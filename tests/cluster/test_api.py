"""The door to the cluster, on a real one: what it does, and what it says when it may not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bodywork.app.cluster.platform import platform_for, platform_of
from bodywork.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    QuotaError,
    UnreachableError,
    UsageError,
)
from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.api import (
    AlreadyThereError,
    Api,
    ConflictError,
    NotStartedError,
    Seen,
)
from bodywork.targets.kubernetes.client.kubeconfig import access as access_of
from bodywork.targets.kubernetes.kinds import (
    CONFIG_MAP,
    JOB,
    NAMESPACE,
    NODE,
    POD,
    RESOURCE_QUOTA,
    SECRET,
    Kind,
)
from loopback import Relay

pytestmark = pytest.mark.cluster

IMAGE = os.environ.get("BODYWORK_TEST_IMAGE", "localhost/debian-python:3.11")


def config_map(namespace: str, name: str = "one", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"test": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(namespace: str, name: str, code: str, cpu: str = "10m") -> dict[str, Any]:
    container = {
        "name": "stage",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-u", "-c", code],
        "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "500m"}},
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


async def until(seen: AsyncIterator[Seen], kind: str, name: str | None = None) -> Seen:
    async with asyncio.timeout(30):
        async for one in seen:
            if one.kind == kind and (name is None or (one.object or {})["metadata"]["name"] == name):
                return one
    raise AssertionError("a watch has ended")


@pytest.fixture
async def nobody(kubeconfig: Path) -> AsyncIterator[Api]:
    """An account that may do nothing: the cluster's administrator in another's clothes."""
    access = access_of({"KUBECONFIG": str(kubeconfig)})
    user = type(access.user)(
        **{**vars(access.user), "acting_as": (("Impersonate-User", "nobody@example.com"),)}
    )
    async with Api(Access(**{**vars(access), "user": user}), os.environ) as opened:
        yield opened


async def test_objects_are_made_read_changed_and_deleted(api: Api, namespace: str) -> None:
    made = await api.create(config_map(namespace, a="1"))
    with pytest.raises(AlreadyThereError):
        await api.create(config_map(namespace, a="2"))
    assert (await api.get(CONFIG_MAP, "one", namespace) or {})["data"] == {"a": "1"}
    changed = await api.patch(CONFIG_MAP, "one", namespace, {"data": {"b": "2", "a": None}})
    assert changed["data"] == {"b": "2"}
    with pytest.raises(ConflictError, match=r"the ConfigMap `one`"):
        await api.replace({**made, "data": {"c": "3"}})
    assert (await api.replace({**changed, "data": {"c": "3"}}))["data"] == {"c": "3"}
    assert not await api.delete(CONFIG_MAP, "one", namespace, uid="another")
    assert await api.delete(CONFIG_MAP, "one", namespace, uid=made["metadata"]["uid"])
    assert not await api.delete(CONFIG_MAP, "one", namespace)
    assert await api.get(CONFIG_MAP, "one", namespace) is None
    with pytest.raises(NotFoundError, match="not found"):
        await api.patch(CONFIG_MAP, "one", namespace, {"data": {"b": "2"}})


async def test_apply_owns_its_fields_and_leaves_those_of_others(api: Api, namespace: str) -> None:
    await api.apply(config_map(namespace, ours="1", also="1"))
    await api.patch(CONFIG_MAP, "one", namespace, {"metadata": {"annotations": {"theirs": "kept"}}})
    applied = await api.apply(config_map(namespace, ours="2"))
    assert applied["data"] == {"ours": "2"}
    assert applied["metadata"]["annotations"] == {"theirs": "kept"}
    assert {owner["manager"] for owner in applied["metadata"]["managedFields"]} == {"bodywork"}


async def test_apply_says_who_holds_a_field(api: Api, namespace: str) -> None:
    await api.create(config_map(namespace, ours="theirs"))
    await api.patch(CONFIG_MAP, "one", namespace, {"data": {"ours": "theirs again"}})
    with pytest.raises(ConflictError, match="bodywork"):
        await api.apply(config_map(namespace, ours="ours"), force=False)
    assert (await api.apply(config_map(namespace, ours="ours")))["data"] == {"ours": "ours"}


async def test_a_dry_run_changes_nothing(api: Api, namespace: str) -> None:
    assert (await api.apply(config_map(namespace, a="1"), dry_run=True))["data"] == {"a": "1"}
    assert await api.get(CONFIG_MAP, "one", namespace) is None


async def test_a_list_comes_whole_and_says_what_its_items_are(api: Api, namespace: str) -> None:
    names = [f"many-{number:04}" for number in range(530)]
    for start in range(0, len(names), 53):
        await asyncio.gather(*(api.create(config_map(namespace, name)) for name in names[start : start + 53]))
    found = await api.list(CONFIG_MAP, namespace, labels={"test": "yes"})
    assert [item["metadata"]["name"] for item in found] == names
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "ConfigMap")}
    one = await api.list(CONFIG_MAP, namespace, fields="metadata.name=many-0007")
    assert [item["metadata"]["name"] for item in one] == ["many-0007"]
    assert len(await api.list(CONFIG_MAP, labels="test=yes")) >= len(names)
    assert len(await api.list(CONFIG_MAP, namespace, labels={"test": "yes"}, most=3)) == 3


async def test_a_watch_tells_what_is_there_and_what_happens(api: Api, namespace: str) -> None:
    await api.create(config_map(namespace, "before"))
    async with aclosing(api.watch(CONFIG_MAP, namespace, labels={"test": "yes"})) as seen:
        assert ((await anext(seen)).object or {})["metadata"]["name"] == "before"
        assert (await anext(seen)).kind == "synced"
        await api.create(config_map(namespace, "after"))
        await until(seen, "set", "after")
        await api.delete(CONFIG_MAP, "before", namespace)
        gone = await until(seen, "gone", "before")
        assert (gone.object or {})["kind"] == "ConfigMap"


async def test_a_log_is_followed_to_its_end(api: Api, namespace: str) -> None:
    code = "import time\nfor n in range(40): print('line', n); time.sleep(0.3)"
    await api.create(pod(namespace, "talks", code))
    began = time.monotonic()
    while True:
        try:
            async with aclosing(api.log("talks", namespace, container="stage", follow=True)) as log:
                pieces = [(time.monotonic() - began, piece) async for piece in log]
            break
        except NotStartedError:
            await asyncio.sleep(0.1)
    assert b"".join(piece for _, piece in pieces) == b"".join(b"line %d\n" % n for n in range(40))
    assert pieces[-1][0] - pieces[0][0] > 0.5, "lines came all at once"
    async with aclosing(api.log("talks", namespace, container="stage", tail=1, timestamps=True)) as log:
        last = b"".join([piece async for piece in log])
    assert last.endswith(b" line 39\n") and last.startswith(b"20")
    with pytest.raises(NotStartedError, match="previous"):
        await anext(api.log("talks", namespace, container="stage", previous=True))
    with pytest.raises(NotFoundError):
        await anext(api.log("missing", namespace, container="stage"))


async def test_hundreds_of_streams_at_once_and_requests_beside_them(api: Api, namespace: str) -> None:
    async def synced() -> None:
        async with aclosing(api.watch(CONFIG_MAP, namespace)) as seen:
            await until(seen, "synced")
            await opened.wait()

    opened = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(synced())
        await asyncio.sleep(1)
        await api.create(config_map(namespace, "beside"))
        opened.set()


async def test_what_the_user_may_do(api: Api, nobody: Api, namespace: str) -> None:
    assert await api.allowed("create", JOB, namespace)
    assert await api.allowed("get", POD, namespace, subresource="log")
    assert not await nobody.allowed("create", JOB, namespace)
    with pytest.raises(ForbiddenError) as caught:
        await nobody.list(SECRET, namespace)
    assert caught.value.message.startswith(
        f"`nobody@example.com` may not list secrets in namespace {namespace} of the cluster `"
    )
    assert "bodywork doctor" in (caught.value.hint or "")
    with pytest.raises(ForbiddenError, match=r"may not delete jobs\.batch in namespace"):
        await nobody.delete(JOB, "any", namespace)
    with pytest.raises(ForbiddenError, match="may not list nodes in the whole cluster"):
        await nobody.list(NODE)
    with pytest.raises(ForbiddenError, match=r"may not watch|may not list"):
        await anext(nobody.watch(POD, namespace))


async def test_the_platform_is_that_of_the_nodes(api: Api, nobody: Api) -> None:
    architectures = {node["status"]["nodeInfo"]["architecture"] for node in await api.list(NODE)}
    assert await platform_of(api) == platform_for(architectures)
    assert await platform_of(nobody) == platform_for(())


async def test_what_the_cluster_knows(api: Api) -> None:
    assert await api.version() >= (1, 29)
    assert await api.served(JOB)
    assert not await api.served(Kind("batch/v1", "Nothing", "nothings"))
    assert not await api.served(Kind("nobody.example.com/v1", "Nothing", "nothings"))


async def refused(api: Api, obj: dict[str, Any]) -> None:
    """Ask until it is refused: what admits objects learns of new quotas and labels a moment later."""
    async with asyncio.timeout(30):
        while True:
            await api.apply(obj, dry_run=True)
            await asyncio.sleep(0.1)


async def test_what_does_not_fit_is_told_in_the_servers_words(api: Api, namespace: str) -> None:
    wrong = config_map(namespace, "Not_A_Name")
    with pytest.raises(InvalidError, match=r"the ConfigMap `Not_A_Name`.*Invalid value"):
        await api.apply(wrong)
    with pytest.raises(NotFoundError, match="nowhere"):
        await api.create(config_map("nowhere"))
    quota = {"requests.cpu": "100m"}
    metadata = {"name": "small", "namespace": namespace}
    await api.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": quota}}
    )
    async with aclosing(api.watch(RESOURCE_QUOTA, namespace)) as seen:
        async for one in seen:
            if one.object and one.object.get("status"):
                break
    with pytest.raises(QuotaError, match=r"exceeded quota: small, requested: requests.cpu=200m"):
        await refused(api, pod(namespace, "big", "pass", cpu="200m"))
    with pytest.raises(QuotaError, match=r"failed quota: small: must specify requests.cpu"):
        plain = pod(namespace, "plain", "pass")
        del plain["spec"]["containers"][0]["resources"]
        await api.create(plain)


async def test_a_namespace_on_its_way_out_takes_nothing(api: Api, namespace: str) -> None:
    kept = config_map(namespace, "kept")
    kept["metadata"]["finalizers"] = ["example.com/wait"]
    await api.create(kept)
    await api.delete(NAMESPACE, namespace)
    with pytest.raises(UsageError, match="the namespace is being deleted"):
        await api.create(config_map(namespace, "late"))
    await api.patch(CONFIG_MAP, "kept", namespace, {"metadata": {"finalizers": None}})


async def test_a_rule_of_the_cluster_is_told_as_such(api: Api, namespace: str) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    await api.patch(NAMESPACE, namespace, None, {"metadata": {"labels": enforce}})
    with pytest.raises(ForbiddenError, match=r"a rule of the cluster.*violates PodSecurity") as caught:
        await refused(api, pod(namespace, "free", "pass"))
    assert "ask who runs the cluster" in (caught.value.hint or "")


@pytest.fixture
async def relayed(kubeconfig: Path) -> AsyncIterator[tuple[Api, Relay, list[str]]]:
    """The cluster through a proxy that can be cut, and what is noted."""
    found = access_of({"KUBECONFIG": str(kubeconfig)})
    url = urlsplit(found.server.url)
    notes: list[str] = []
    async with Relay(url.port or 443, url.hostname or "", proxy="http") as relay:
        server = replace(found.server, proxy=f"http://127.0.0.1:{relay.port}")
        async with Api(replace(found, server=server), os.environ, note=notes.append) as opened:
            yield opened, relay, notes


async def test_a_watch_outlives_its_connection(
    api: Api, relayed: tuple[Api, Relay, list[str]], namespace: str
) -> None:
    far, relay, notes = relayed
    async with aclosing(far.watch(CONFIG_MAP, namespace, labels="test")) as seen:
        assert (await anext(seen)).kind == "synced"
        for number in range(3):
            waiting = asyncio.create_task(until(seen, "set", f"cut-{number}"))
            await asyncio.sleep(0.2)
            assert relay.cut()
            await api.create(config_map(namespace, f"cut-{number}"))
            await waiting
        assert notes == []
        waiting = asyncio.create_task(until(seen, "gone", "cut-0"))
        await asyncio.sleep(0.2)
        await relay.close()
        await api.delete(CONFIG_MAP, "cut-0", namespace)
        await asyncio.sleep(2)
        await relay.open()
        await waiting
    assert len(notes) == 2, notes


async def test_a_log_that_is_cut_says_so_and_goes_on_from_a_time(
    api: Api, relayed: tuple[Api, Relay, list[str]], namespace: str
) -> None:
    far, relay, _ = relayed
    code = "import time\nfor n in range(150): print('line', n); time.sleep(0.1)"
    await api.create(pod(namespace, "long", code))
    async with aclosing(api.watch(POD, namespace)) as pods:
        async for one in pods:
            if one.object and one.object["status"].get("phase") != "Pending":
                break
    got = b""
    with pytest.raises(UnreachableError):
        async with aclosing(
            far.log("long", namespace, container="stage", follow=True, timestamps=True)
        ) as log:
            async for piece in log:
                got += piece
                if got.count(b"\n") >= 5:
                    relay.cut()
    last = got.decode().splitlines()[-1].split(" ")[0]
    rest = far.log("long", namespace, container="stage", follow=True, since_time=last)
    async with aclosing(rest) as log:
        assert b"".join([piece async for piece in log]).endswith(b"line 149\n")
