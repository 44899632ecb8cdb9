"""Nodes that no longer answer: what a pod on one waits for, and when Kubernetes has given it up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bodywork.errors import ForbiddenError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NODE, Object
from bodywork.targets.kubernetes.pods.diagnose import condition_of

UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATED = 300
"""Seconds that Kubernetes lets a pod stay on a lost node, unless the pod says otherwise."""

BEFORE = timedelta(seconds=3)
OVERDUE = timedelta(seconds=15)


def suspicious(pod: Object) -> bool:
    """Whether the node of a running pod may be lost: Kubernetes calls the pod not ready, while all that the
    node had said is that its containers are.
    """
    if pod["status"].get("phase") != "Running":
        return False
    ready, containers = condition_of(pod, "Ready"), condition_of(pod, "ContainersReady")
    return _is(ready, "False") and not _is(containers, "False")


async def lost(api: Api, pod: Object) -> bool:
    """Whether the node of a pod does not answer, or is not there any more; unknown counts as no.

    Who may not see nodes is told by the pod: that is sure, but later in some cases.
    """
    name = pod["spec"].get("nodeName")
    if not name:
        return False
    try:
        node = await api.get(NODE, name)
    except ForbiddenError:
        return _given_up(pod) if "deletionTimestamp" in pod["metadata"] else suspicious(pod)
    return node is None or not _ready(node)


def told(pod: Object) -> str:
    """What the pod of a batch stage waits for."""
    name = pod["spec"]["nodeName"]
    if "deletionTimestamp" in pod["metadata"]:
        return f"node {name} was given up; the stage is started on another one"
    return f"{_silent(pod)}, and the stage is started on another one"


def told_of_controller(pod: Object) -> str:
    """What a run waits for of which the pod carries it out."""
    if "deletionTimestamp" in pod["metadata"]:
        node, name = pod["spec"]["nodeName"], pod["metadata"]["name"]
        return (
            f"node {node} was given up; another pod goes on with the run, as soon as nothing was heard of "
            f"pod {name} for a while"
        )
    return f"{_silent(pod)}, and another pod goes on with the run"


def told_of_replica(pod: Object) -> str:
    return f"{_silent(pod)}, and another replica takes its place"


def unseen(pods: Iterable[Object]) -> list[str]:
    """That the end of these pods, which were deleted, cannot be seen; a sentence for each node."""
    by_node: dict[str, list[str]] = {}
    for pod in pods:
        by_node.setdefault(pod["spec"]["nodeName"], []).append(pod["metadata"]["name"])
    return [_unseen(node, sorted(names)) for node, names in sorted(by_node.items())]


def _unseen(node: str, names: list[str]) -> str:
    which = f"pod{'s' if len(names) > 1 else ''} {', '.join(names)}"
    return (
        f"node {node} does not answer: nobody sees {which} on it end, and no request goes there any more; "
        f"Kubernetes removes what is left of it when the node is back or deleted (kubectl delete node {node})"
    )


def _silent(pod: Object) -> str:
    return (
        f"node {pod['spec']['nodeName']} does not answer; if it does not come back, "
        f"Kubernetes gives it up after {_tolerated(pod)} s"
    )


def _tolerated(pod: Object) -> int:
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("key") == UNREACHABLE and "tolerationSeconds" in toleration:
            return int(toleration["tolerationSeconds"])
    return TOLERATED


def _given_up(pod: Object) -> bool:
    """Whether a pod was said to be not ready before it was deleted, or has outstayed its time to end."""
    metadata = pod["metadata"]
    end = _moment(metadata["deletionTimestamp"])
    told_at = end - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    since = (condition_of(pod, "Ready") or {}).get("lastTransitionTime")
    if suspicious(pod) and since and _moment(since) <= told_at - BEFORE:
        return True
    return datetime.now(UTC) > end + OVERDUE


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _is(condition: Mapping[str, Any] | None, status: str) -> bool:
    return condition is not None and condition.get("status") == status


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
