"""How services stand, in the words that `bodywork status` shows."""

from __future__ import annotations

import os
from pathlib import Path

from bodywork.targets.local.happening import State
from bodywork.targets.local.protocol import ReplicaStatus, ServiceStatus
from bodywork.targets.local.replica import Replica
from bodywork.targets.local.service import Service


def standing(service: Service) -> ServiceStatus | None:
    """None: nothing has served yet."""
    release = service.current
    if release is None:
        return None
    ready, wanted = len(release.ready), len(release.replicas)
    return ServiceStatus(
        definition=release.definition,
        url=service.entrance.url,
        ready=ready,
        replicas=tuple(replica_status(replica) for replica in release.replicas),
        state=_state(service, ready, wanted),
        reason=service.reason or release.reason,
    )


def replica_status(replica: Replica) -> ReplicaStatus:
    host, port = replica.answers
    return ReplicaStatus(
        number=replica.number,
        pid=replica.pid,
        state=replica.state.value,
        restarts=replica.restarts,
        address=f"{host}:{port}" if replica.pid is not None else "",
        reason=replica.reason,
    )


def _state(service: Service, ready: int, wanted: int) -> str:
    if service.removed or service.stopping:
        return "stopping"
    if service.entrance.proxy is None:
        return "failing"
    if ready == wanted:
        return "ready"
    if ready:
        return "degraded"
    starting = service.current is not None and all(
        replica.state is State.STARTING and not replica.restarts for replica in service.current.replicas
    )
    return "starting" if starting else "failing"


def resident_size(pid: int) -> int | None:
    """Bytes of memory that a process holds; None where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
