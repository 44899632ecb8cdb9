"""Services on two nodes: one is drained, one loses its power. Nobody notices the first.

It needs a second node, which `node` of the test cluster adds and takes away; nobody else may use the cluster
meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from served import Client, Served, client, served
from tool import Repository, Tool, wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(
        not os.environ.get("BODYWORK_TEST_MACHINES"),
        reason="takes nodes and the API server away: set BODYWORK_TEST_MACHINES=1",
    ),
]

HOME, OTHER = "node-1", "node-2"

PATIENCE = 120.0
"""Seconds after which Kubernetes must have noticed that a node is lost: 40 to 50, and a request's 15."""

QUIET = 25.0
"""Seconds without a failure after which none is expected any more."""


@pytest.fixture
def node(kubeconfig: object) -> Iterator[Callable[[str], None]]:
    """Adds a second node; at the end the cluster has one again."""
    folder = os.environ.get("BODYWORK_TEST_CLUSTER")
    if not folder:
        pytest.skip("no second node: set BODYWORK_TEST_CLUSTER to the folder of the test cluster's scripts")

    def call(what: str) -> None:
        subprocess.run([str(Path(folder) / "node"), what], check=True, stdout=subprocess.DEVNULL)

    try:
        call("up")
        yield call
    finally:
        call("forget")


@pytest.fixture
def web(node: object, tool: Tool, repository: Repository) -> Iterator[Served]:
    with served(tool, repository, "nodes") as made:
        yield made


def nodes(web: Served) -> list[str]:
    """Where the ready pods of the service are."""
    ready = [
        pod
        for pod in web.pods()
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])
    ]
    return sorted(pod["spec"]["nodeName"] for pod in ready)


def test_drained_and_lost(web: Served, node: Callable[[str], None], namespace: str) -> None:
    web.commit("one")
    web.deploy()
    assert nodes(web) == [HOME, OTHER]  # the replicas are spread
    with client(namespace, web.url(), node=HOME) as asking:
        drain = ["kubectl", "drain", OTHER, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s"]
        subprocess.run(drain, check=True, capture_output=True)
        wait_for(lambda: nodes(web) == [HOME, HOME], seconds=60, every=0.5)
        time.sleep(2)
        now = asking.now()
        print("drained:", now)
        assert (now["failed"], now["failures"]) == (0, [])

        subprocess.run(["kubectl", "uncordon", OTHER], check=True, capture_output=True)
        web.commit("two")
        web.deploy()
        assert nodes(web) == [HOME, OTHER]
        asking.until_silent("one")
        before = asking.now()
        assert (before["failed"], before["failures"]) == (0, [])

        lost = time.monotonic()
        node("down")
        last = seconds_of_failures(asking, since=lost)[-1]
        print(f"node lost: {asking.now()['failed']} requests failed, the last {last:.0f} s later")
        end = asking.now()
        assert end["counts"]["two"] > before["counts"]["two"] + 200


def seconds_of_failures(asking: Client, *, since: float) -> list[float]:
    """When requests failed, until none has failed for a while."""
    known, seen = asking.now()["failed"], [0.0]
    while time.monotonic() - since - seen[-1] < QUIET:
        time.sleep(1)
        if (now := asking.now()["failed"]) > known:
            known = now
            seen.append(time.monotonic() - since)
            assert seen[-1] < PATIENCE, f"requests still fail {seen[-1]:.0f} s after the node was lost"
    return seen
