"""The Lease of a pipeline, as plain data: who holds it, since when, and what it is asked.

Each hold has a token of its own, so that one holder is never taken for another, nor a wish to stop
an earlier run for one to stop this. Times are written for people and for a change to be
seen: nobody takes a lease over because two clocks differ.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import LEASE, Object
from bodywork.targets.kubernetes.lease.holder import Identity

DURATION = 30
"""Seconds of silence after which a holder that cannot be asked counts as gone."""

TOKEN = f"{labels.PREFIX}hold"
STOP = f"{labels.PREFIX}stop"
HOLDER = f"{labels.PREFIX}holder"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The run in progress of a pipeline, and who carries it out.

    `since` and `renewed` are in seconds since the epoch by the holder's clock. `mark` changes with
    each renewal.
    """

    run: str
    identity: Identity
    since: float
    renewed: float
    token: str
    mark: str

    @property
    def who(self) -> str:
        return self.identity.who


def held(
    before: Object | None, *, namespace: str, pipeline: str, run: str, identity: Identity, token: str
) -> Object:
    """The Lease held by somebody; `before` is what is there now. `pipeline` is its object name."""
    metadata: dict[str, Any] = {
        "name": name_of(pipeline),
        "namespace": namespace,
        "labels": {**labels.of_name(pipeline), labels.RUN: run},
        "annotations": {labels.RUN: run, TOKEN: token, HOLDER: identity.encode()},
    }
    changes = 0
    if before is not None:
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        changes = before.get("spec", {}).get("leaseTransitions", 0) + 1
    now = _time(datetime.now(UTC))
    spec = {
        "holderIdentity": identity.who,
        "leaseDurationSeconds": DURATION,
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": changes,
    }
    return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}


def renewed(lease: Object) -> Object:
    lease = copy.deepcopy(lease)
    lease["spec"]["renewTime"] = _time(datetime.now(UTC))
    return lease


def released(lease: Object) -> Object:
    lease = copy.deepcopy(lease)
    lease["spec"]["holderIdentity"] = ""
    for name in (TOKEN, STOP, HOLDER):
        lease["metadata"].get("annotations", {}).pop(name, None)
    return lease


def holder_of(lease: Object | None) -> Holder | None:
    """Who holds a Lease, whether it still lives or not; None when it is free."""
    spec = (lease or {}).get("spec", {})
    who = spec.get("holderIdentity")
    if lease is None or not who:
        return None
    notes = lease["metadata"].get("annotations", {})
    token = notes.get(TOKEN, "")
    return Holder(
        run=notes.get(labels.RUN, ""),
        identity=Identity.decode(notes.get(HOLDER, ""), who),
        since=_seconds(spec.get("acquireTime")),
        renewed=_seconds(spec.get("renewTime")),
        token=token,
        mark=f"{token} {spec.get('renewTime')}",
    )


def asked_to_stop(lease: Object) -> bool:
    notes = lease["metadata"].get("annotations", {})
    return bool(notes.get(STOP)) and notes.get(STOP) == notes.get(TOKEN)


def name_of(pipeline: str) -> str:
    return f"run-lock-{pipeline}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
