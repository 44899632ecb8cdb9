"""What became of the times of a schedule, in one ConfigMap: a key for each, so that pods that write at
the same time do not get into each other's way. Annotations tell of the branch that is looked at, and how
many runs are to be kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType

from bodywork.errors import NotFoundError
from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.answers import ConflictError
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, Object
from bodywork.targets.kubernetes.manifests.cron_job import SCHEDULE, marks

TIP = f"{labels.PREFIX}tip"
"""Annotation: the commit at which the branch was last seen."""

OWED = f"{labels.PREFIX}owed"
"""Annotation: the same, as long as no run of it has begun."""

TROUBLE = f"{labels.PREFIX}trouble"
"""Annotation: why it could not be looked at or run."""

KEEP = f"{labels.PREFIX}keep"
"""Annotation: how many runs of the schedule are kept."""

SINCE = f"{labels.PREFIX}since"
"""Annotation: since when, in seconds, it has had its times, or has not been paused."""

MOST = 400
"""Firings that are kept: a third of what a ConfigMap can hold."""


def name_of(schedule: str) -> str:
    return f"{SCHEDULE}-{schedule}"


async def read(api: Api, schedule: str, namespace: str) -> Mapping[str, str]:
    """Documents by key; keys sort by time."""
    return documents_of(await book(api, schedule, namespace) or {})


async def book(api: Api, schedule: str, namespace: str) -> Object | None:
    """All that is written of a schedule; None when it is gone."""
    return await api.get(CONFIG_MAP, name_of(schedule), namespace)


async def books(api: Api, pipeline: str, namespace: str) -> list[Object]:
    """All that is written of the schedules of a pipeline, which is given by its object name."""
    chosen = {**labels.of_name(pipeline), labels.KIND: SCHEDULE}
    return await api.list(CONFIG_MAP, namespace, labels=chosen)


def documents_of(found: Object) -> Mapping[str, str]:
    return found.get("data") or {}


def said_of(found: Object, what: str) -> str:
    """What an annotation says; "" where there is none."""
    return str((found["metadata"].get("annotations") or {}).get(what, ""))


async def make(
    api: Api,
    project: Project,
    schedule: str,
    namespace: str,
    tip: str | None,
    *,
    keep: int,
    since: float = 0.0,
) -> None:
    """An empty one, if there is none yet, of a schedule that keeps so many runs and has had its times
    since then; its branch is at `tip` (None: as it is known already).
    """
    metadata = {"name": name_of(schedule), "namespace": namespace, "labels": marks(project, schedule)}
    with contextlib.suppress(AlreadyThereError):
        await api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})
    seen = {} if tip is None else {TIP: tip, OWED: None}
    said = {TROUBLE: None, KEEP: str(keep), SINCE: f"{since:.3f}"}
    await say(api, schedule, namespace, {**seen, **said})


async def write(
    api: Api,
    schedule: str,
    namespace: str,
    documents: Mapping[str, str | None],
    said: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Add or change some, None to take one away, and let the oldest go; `said` are annotations, in the same
    moment. Nothing is written when the schedule is gone.
    """
    change = _change(await read(api, schedule, namespace), documents)
    if said:
        change["metadata"] = {"annotations": dict(said)}
    with contextlib.suppress(NotFoundError):
        await api.patch(CONFIG_MAP, name_of(schedule), namespace, change)


async def say(api: Api, schedule: str, namespace: str, said: Mapping[str, str | None]) -> None:
    """Write annotations, None to take one away; nothing when the schedule is gone."""
    with contextlib.suppress(NotFoundError):
        change = {"metadata": {"annotations": dict(said)}}
        await api.patch(CONFIG_MAP, name_of(schedule), namespace, change)


async def claim(api: Api, found: Object, tip: str, documents: Mapping[str, str]) -> bool:
    """Write that the branch was seen at `tip`, together with what that leads to, which it is owed then.

    What the trouble is with a commit that is tried again is said until a run of it has begun.

    False, unless an answer was lost, means that nothing is written: something has been since `found`
    was read, or the schedule is gone.
    """
    metadata = found["metadata"]
    again = {TROUBLE: said_of(found, TROUBLE) or None} if tip == said_of(found, TIP) else {TROUBLE: None}
    change = _change(documents_of(found), documents)
    change["metadata"] = {
        "resourceVersion": metadata["resourceVersion"],
        "annotations": {TIP: tip, OWED: tip if documents else None, **again},
    }
    try:
        await api.patch(CONFIG_MAP, metadata["name"], metadata["namespace"], change)
    except (ConflictError, NotFoundError):
        return False
    return True


def _change(there: Mapping[str, str], documents: Mapping[str, str | None]) -> Object:
    known = sorted(key for key, text in {**there, **documents}.items() if text is not None)
    return {"data": {**documents, **dict.fromkeys(known[:-MOST])}}
