"""What a container asks its node for, in the quantities of Kubernetes.

`memory` is both what is kept free for a stage and the most it may use: memory cannot be taken
back, so asking for less than the limit would only move the failure to another day. `cpu` is a
share, not a ceiling: a limit would slow a stage down on a machine that is idle. A stage that says
nothing asks for a little, so that the scheduler counts it, and gets no limit of ours, which could
only be a guess that ends somebody's training; a LimitRange of the namespace sets one where its
owner wants it.
"""

from __future__ import annotations

from bodywork.spec.model import Resources
from bodywork.targets.kubernetes.kinds import Object

CPU = 0.1
MEMORY = 256 * 2**20
GPU = "nvidia.com/gpu"


def of_stage(asked: Resources) -> Object:
    """Requests, and limits where something was said."""
    requests = {"cpu": cores(asked.cpu or CPU), "memory": size(asked.memory or MEMORY)}
    limits = {}
    if asked.memory:
        limits["memory"] = size(asked.memory)
    if asked.gpu:
        limits[GPU] = str(asked.gpu)
    return {"requests": requests, **({"limits": limits} if limits else {})}


def of_tool(memory: int) -> Object:
    """For a container of our own, which never uses more than `memory` bytes."""
    return {
        "requests": {"cpu": cores(CPU), "memory": size(min(memory, MEMORY))},
        "limits": {"memory": size(memory)},
    }


def cores(amount: float) -> str:
    """`500m`, `2`: thousandths of a core are the smallest there are."""
    thousandths = max(1, round(amount * 1000))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def size(amount: int) -> str:
    """`512Mi`, or bytes where it is no whole number of these; as the server would write it."""
    for unit, factor in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount % factor == 0:
            return f"{amount // factor}{unit}"
    return str(amount)
