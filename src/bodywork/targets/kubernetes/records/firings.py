"""What became of the times of a schedule, in one ConfigMap: a key for each, so that pods that write at
the same time do not get into each other's way.
"""

from __future__ import annotations

from collections.abc import Mapping

from bodywork.errors import NotFoundError
from bodywork.spec.model import Project
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP
from bodywork.targets.kubernetes.manifests.cron_job import SCHEDULE, marks

MOST = 400
"""Firings that are kept: a third of what a ConfigMap can hold."""


def name_of(schedule: str) -> str:
    return f"{SCHEDULE}-{schedule}"


async def read(api: Api, schedule: str, namespace: str) -> Mapping[str, str]:
    """Documents by key; keys sort by time."""
    found = await api.get(CONFIG_MAP, name_of(schedule), namespace)
    return (found or {}).get("data") or {}


async def make(api: Api, project: Project, schedule: str, namespace: str) -> None:
    """An empty one, if there is none yet."""
    metadata = {"name": name_of(schedule), "namespace": namespace, "labels": marks(project, schedule)}
    try:
        await api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})
    except AlreadyThereError:
        return


async def write(api: Api, schedule: str, namespace: str, documents: Mapping[str, str]) -> None:
    """Add or change some, and let the oldest go. Nothing is written when the schedule is gone."""
    known = sorted({*await read(api, schedule, namespace), *documents})
    change: dict[str, str | None] = {**documents, **dict.fromkeys(known[:-MOST])}
    try:
        await api.patch(CONFIG_MAP, name_of(schedule), namespace, {"data": change})
    except NotFoundError:
        return
