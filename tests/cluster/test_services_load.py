"""Services on a cluster under load: rolled out, rolled back and scaled, without a lost request.

The clients are pods, so that any cluster will do. They ask 50 times a second over new connections and 50
times over kept ones, and try nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from served import SERVER, Client, Served, client, served
from tool import Repository, Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

UVICORN = """
import importlib.metadata, os, uvicorn

BODY = f"{importlib.metadata.version('uvicorn')} {os.environ['LEVEL']}".encode()

async def app(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-length", str(len(BODY)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

uvicorn.run(app, host="0.0.0.0", port=5000, access_log=False)
"""


@pytest.fixture
def web(kubeconfig: object, tool: Tool, repository: Repository) -> Iterator[Served]:
    with served(tool, repository) as made:
        yield made


def lost_none(asking: Client, *releases: str) -> None:
    now = asking.now()
    print(f"{sum(now['counts'].values())} answers, {now['failed']} failures: {now['counts']}")
    assert (now["failed"], now["failures"]) == (0, [])
    assert set(now["counts"]) == set(releases)


def test_a_new_commit_and_a_rollback(web: Served, namespace: str) -> None:
    web.commit("one")
    web.deploy()
    with client(namespace, web.url()) as asking:
        web.commit("two")
        web.deploy()
        asking.until_answered("two")
        asking.until_silent("one")
        web.tool.good("rollback", web.name)
        asking.until_silent("two")
        lost_none(asking, "one", "two")
    kinds = [run["kind"] for run in web.tool.good("runs", web.name, "-o", "json").json]
    assert kinds == ["rollback", "deploy", "deploy"]


def test_one_replica_then_three_then_one(web: Served, namespace: str) -> None:
    web.commit("one", service=", replicas: 1")
    web.deploy()
    with client(namespace, web.url(), "/who") as asking:
        web.commit("one", service=", replicas: 3")
        web.deploy()
        first = {pod["metadata"]["name"] for pod in web.pods()}
        assert len(first) == 3
        for pod in first:
            asking.until_answered(f"one {pod}")
        web.commit("one", service=", replicas: 1")
        web.deploy()
        (kept,) = {pod["metadata"]["name"] for pod in web.pods()}
        for pod in first - {kept}:
            asking.until_silent(f"one {pod}")
        now = asking.now()
        print(now)
        assert (now["failed"], now["failures"]) == (0, [])


def test_all_replicas_are_evicted(web: Served, namespace: str) -> None:
    web.commit("one")
    web.deploy()
    with client(namespace, web.url()) as asking:
        before = {pod["metadata"]["name"] for pod in web.pods()}
        for name in before:
            web.evict(name)
        wait_for(lambda: next(iter(web.services().values()))["ready"] == 2, seconds=60, every=1)
        assert not before & {pod["metadata"]["name"] for pod in web.pods()}
        time.sleep(10)
        lost_none(asking, "one")


@pytest.mark.network
@pytest.mark.parametrize("extra", ["", "[standard]"])
def test_other_packages_and_other_variables(web: Served, namespace: str, extra: str) -> None:
    def commit(version: str, level: str) -> str:
        stage = f"requirements: ['uvicorn{extra}=={version}']\nenv: {{LEVEL: {level}}}"
        web.commit("", service=", replicas: 2", module=UVICORN, stage=stage)
        web.deploy()
        return f"{version} {level}"

    first = commit("0.34.0", "low")
    with client(namespace, web.url()) as asking:
        second = commit("0.35.0", "low")
        asking.until_answered(second)
        asking.until_silent(first)
        third = commit("0.35.0", "high")
        asking.until_silent(second)
        lost_none(asking, first, second, third)


def test_a_request_that_takes_longer_than_the_drain(web: Served, namespace: str) -> None:
    """A server that ends at once when it is asked to still gets to finish what it has."""
    slow = "RELEASE = {!r}\nimport time\n{}"
    body = "body = f"
    web.commit("one", module=slow.format("one", SERVER.replace(body, f"time.sleep(8)\n        {body}")))
    web.deploy()
    with client(namespace, web.url()) as asking:
        web.commit("two", module=slow.format("two", SERVER))
        web.deploy()
        asking.until_answered("two")
        wait_for(lambda: asking.now()["counts"].get("two", 0) > 100, seconds=30, every=0.5)
        asking.until_silent("one", seconds=10)
        lost_none(asking, "one", "two")
