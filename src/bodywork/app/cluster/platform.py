"""The platform of the packages that pods need: that of the cluster's nodes, whatever machine deploys."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection

from bodywork.errors import ForbiddenError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NODE

OURS = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""What Kubernetes calls an architecture, by what Python does."""

LABEL = "kubernetes.io/arch"
"""Of a node: its architecture."""

UV = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
"""What uv calls a platform of stages, which all run on Debian."""


async def platform_of(api: Api) -> str | None:
    """As `platform_for`, of the nodes of a cluster; who may not see them is taken to have nodes like ours.

    A node like ours decides, else any one: a cluster may have thousands.
    """
    mine = OURS.get(platform.machine(), "")
    try:
        nodes = await api.list(NODE, labels={LABEL: mine}, most=1) or await api.list(NODE, most=1)
    except ForbiddenError:
        nodes = []
    return platform_for({node["status"]["nodeInfo"]["architecture"] for node in nodes})


def platform_for(architectures: Collection[str], system: str = sys.platform, machine: str = "") -> str | None:
    """The platform as uv names it; None where packages are for machines like this one.

    `architectures` are those of the nodes. Where there are several, it is ours if that is among them.
    """
    mine = OURS.get(machine or platform.machine(), "")
    known = sorted(set(architectures) & set(UV))
    wanted = mine if mine in known or not known else known[0]
    if wanted not in UV or (system == "linux" and wanted == mine):
        return None
    return UV[wanted]
