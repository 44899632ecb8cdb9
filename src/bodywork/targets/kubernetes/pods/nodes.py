"""Nodes that no longer answer: what a pod on one waits for, and when Kubernetes has given it up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bodywork.errors import ForbiddenError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NODE, Object
from bodywork.targets.kubernetes.pods.diagnose import condition_of

UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATED = 300
"""Seconds that Kubernetes lets a pod stay on a lost node, unless the pod says otherwise."""


def suspicious(pod: Object) -> bool:
    """Whether the node of a running pod may be lost: such a pod is said to be not ready."""
    ready = condition_of(pod, "Ready")
    return pod["status"].get("phase") == "Running" and bool(ready) and (ready or {}).get("status") != "True"


async def lost(api: Api, pod: Object) -> bool:
    """Whether the node of a pod does not answer, or is not there any more; unknown counts as no."""
    name = pod["spec"]["nodeName"]
    if not name:
        return False
    try:
        node = await api.get(NODE, name)
    except ForbiddenError:
        return "deletionTimestamp" in pod["metadata"] or suspicious(pod)
    return node is None or not _ready(node)


def told(pod: Object) -> str:
    """What is waited for."""
    name = pod["spec"]["nodeName"]
    if "deletionTimestamp" in pod["metadata"]:
        return f"node {name} was given up; the stage is started on another one"
    return (
        f"node {name} does not answer; if it does not come back, Kubernetes gives it up after "
        f"{_tolerated(pod)} s, and the stage is started on another one"
    )


def _tolerated(pod: Object) -> int:
    for toleration in pod["spec"]["tolerations"]:
        if toleration.get("key") == UNREACHABLE and "tolerationSeconds" in toleration:
            return int(toleration["tolerationSeconds"])
    return TOLERATED


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
