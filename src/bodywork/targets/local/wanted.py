"""The services that are wanted while no agent runs: they are not gone, only unattended."""

from __future__ import annotations

import contextlib

from bodywork.targets.local.definition import Definition
from bodywork.targets.local.protocol import ServiceStatus
from bodywork.targets.local.record import ServiceRecord, ServiceStore


def stored(store: ServiceStore, pipeline: str | None) -> list[ServiceStatus]:
    """What the store says is wanted, while there is no agent to look after it."""
    found = []
    for name, _, document in store.services():
        if pipeline not in (None, name):
            continue
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if (release := ServiceRecord.decode(document).current) is not None:
                found.append(_unattended(release.definition))
    return found


def _unattended(definition: Definition) -> ServiceStatus:
    return ServiceStatus(
        definition=definition,
        url="",
        ready=0,
        replicas=(),
        state="failing",
        reason="the agent does not run; bring it back with: bodywork agent start",
    )
