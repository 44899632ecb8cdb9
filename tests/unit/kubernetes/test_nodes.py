"""When a node counts as lost for somebody who may not see nodes, and what is said of pods that do not end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bodywork.errors import ForbiddenError
from bodywork.targets.kubernetes.pods import nodes
from bodywork.targets.kubernetes.pods.leaving import AGAIN, FIRST, QUIET, Leaving


class Refused:
    """A cluster that lets nobody see its nodes."""

    async def get(self, *_: object) -> None:
        raise ForbiddenError("not you")


class Nodes:
    """A cluster with one node, `there`, that answers."""

    async def get(self, _: object, name: str) -> dict[str, Any] | None:
        return {"status": {"conditions": [{"type": "Ready", "status": "True"}]}} if name == "there" else None


def pod(
    *,
    ready: str = "True",
    containers: str = "True",
    since: float = 60,
    deleted: float | None = None,
    node: str = "n",
) -> dict[str, Any]:
    """`since`: seconds since it is as ready as it is; `deleted`: since it was told to end, within 30 s."""
    metadata: dict[str, Any] = {"name": "work-1", "uid": "1"}
    if deleted is not None:
        metadata |= {"deletionTimestamp": ago(deleted - 30), "deletionGracePeriodSeconds": 30}
    conditions = [
        {"type": "Ready", "status": ready, "lastTransitionTime": ago(since)},
        {"type": "ContainersReady", "status": containers, "lastTransitionTime": ago(since)},
    ]
    status = {"phase": "Running", "conditions": conditions}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("told", "lost"),
    [
        ({}, False),
        ({"ready": "False", "containers": "False"}, False),  # its own doing: it starts, or fails its probe
        ({"ready": "False"}, True),
        ({"deleted": 5}, False),  # drained
        ({"ready": "False", "since": 4, "deleted": 5}, False),  # not ready because it ends
        ({"ready": "False", "since": 60, "deleted": 5}, True),
        ({"deleted": 40}, False),  # a kubelet that takes its time
        ({"deleted": 50}, True),
    ],
)
async def test_lost_where_nodes_may_not_be_seen(told: dict[str, Any], lost: bool) -> None:
    one = pod(**told)  # now: its times are too long ago when all tests have been collected
    assert await nodes.lost(Refused(), one) is lost  # type: ignore[arg-type]


async def test_what_is_waited_for_is_said_once_and_lost_pods_are_told_apart() -> None:
    said: list[str] = []
    times = [0.0]
    leaving = Leaving(Nodes(), said.append, now=lambda: times[-1])  # type: ignore[arg-type]
    there, away = pod(node="there", deleted=1), pod(node="away", deleted=1)
    assert await leaving.lost([there, away]) == []  # most end before anybody asks
    for now in (FIRST, FIRST + AGAIN, QUIET + AGAIN, QUIET + 2 * AGAIN):
        times.append(now)
        assert await leaving.lost([there, away]) == [away]
    assert said == ["waiting for pod work-1 on node there to end, for which it has 30 s"]


def test_what_is_left_to_kubernetes_is_said_for_each_node() -> None:
    first, second = nodes.unseen([pod(node="b"), pod(node="a"), pod(node="b")])
    assert first.startswith("node a does not answer: nobody sees pod work-1 on it end")
    assert second.startswith("node b does not answer: nobody sees pods work-1, work-1 on it end")
