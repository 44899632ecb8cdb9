"""What runs have left in a bucket that bodywork.yaml names, when their record goes.

Nobody but the record knows that a bucket has something of a run: others may keep things there under
the same names. So the run and its store are written down before the record goes, in one ConfigMap
for a pipeline, until `prune` has been there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bodywork.errors import NotFoundError
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP
from bodywork.targets.kubernetes.records.run_objects import RECORD

LEFT = "left"


def name_of(pipeline: str) -> str:
    return f"{LEFT}-{pipeline}"


async def remember(api: Api, pipeline: str, namespace: str, stores: Mapping[str, str]) -> None:
    """Add runs, with the addresses of their stores; `pipeline` is the object name."""
    change = {"data": dict(stores)}
    try:
        await api.patch(CONFIG_MAP, name_of(pipeline), namespace, change)
    except NotFoundError:
        marks = {**labels.of_name(pipeline), RECORD: LEFT}
        metadata = {"name": name_of(pipeline), "namespace": namespace, "labels": marks}
        await api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **change})


async def remembered(api: Api, pipeline: str, namespace: str) -> Mapping[str, str]:
    """Addresses of stores, by run."""
    found = await api.get(CONFIG_MAP, name_of(pipeline), namespace)
    return (found or {}).get("data") or {}


async def drop(api: Api, pipeline: str, namespace: str, runs: Collection[str]) -> None:
    """Nothing is left of these."""
    if runs:
        await api.patch(CONFIG_MAP, name_of(pipeline), namespace, {"data": dict.fromkeys(runs)})
