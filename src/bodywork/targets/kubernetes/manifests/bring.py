"""The init container that brings what a service reads: a service's pods restart for years, and no
signed URL lasts that long.

The other side is `bodywork/targets/kubernetes/pods/bring.py`; the two share only the form of BODYWORK_BRING.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bodywork.artifacts import pieces
from bodywork.artifacts.address import Address
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.containers import PYTHON, WORK, InitContainer
from bodywork.targets.kubernetes.settings import Settings

MODULE = "bodywork.targets.kubernetes.pods.bring"
VARIABLE = "BODYWORK_BRING"
INPUTS = f"{WORK}/inputs"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One input: object `key` of the store, with this digest, becomes /work/inputs/NAME/FILE."""

    name: str
    file: str
    key: str
    digest: str


def brought(
    wanted: Sequence[Wanted], store: Address, settings: Settings, *, secret: str | None
) -> InitContainer:
    """`secret` holds the credential that reads the store as variables; None: the pod's own identity does."""
    inputs = [
        {"into": f"{INPUTS}/{one.name}/{one.file}", "key": one.key, "digest": one.digest} for one in wanted
    ]
    asked = {"store": str(store), "piece": pieces.size(store.scheme), "inputs": inputs}
    return InitContainer(
        name="bring",
        image=settings.tool_image,
        command=(PYTHON, "-u", "-m", MODULE),
        variables={VARIABLE: json.dumps(asked, sort_keys=True)},
        secrets=(secret,) if secret else (),
    )


def runs_read(workload: Object) -> set[str]:
    """The runs that have made what the pods of a Deployment or ReplicaSet fetch when they start."""
    containers = workload["spec"]["template"]["spec"].get("initContainers") or ()
    asked = (
        json.loads(variable["value"])
        for container in containers
        for variable in container.get("env") or ()
        if variable["name"] == VARIABLE and variable.get("value")
    )
    return {one["key"].split("/")[1] for wanted in asked for one in wanted["inputs"]}
