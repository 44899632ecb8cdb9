"""Artifacts of runs in a cluster: which run has put one where, and getting it out of there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bodywork.errors import NotFoundError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.records.records import ClusterRecords
from bodywork.targets.kubernetes.store import outside
from bodywork.targets.kubernetes.store.location import Location, find


async def locate(records: ClusterRecords, pipeline: str, digest: str) -> Location | None:
    """Where an artifact of an earlier run, or of this one before it was resumed, is in the store."""
    for record in await records.runs(pipeline):
        if found := find(digest, {record.run: await records.events(record.run)}):
            return found
    return None


async def fetch(
    api: Api, records: ClusterRecords, pipeline: str, digest: str, into: Path, ours: Mapping[str, str]
) -> None:
    """Get an artifact to this machine. Raises NotFoundError when no run on record has made it."""
    location = await locate(records, pipeline, digest)
    if location is None:
        raise NotFoundError(f"no run of {pipeline} on record has made artifact {digest}")
    made, namespace = await records.plan(location.run), await records.namespace(location.run)
    await outside.fetch(api, made, namespace, location, digest, into, ours)
