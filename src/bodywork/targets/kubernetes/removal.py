"""Deleting what bodywork made, and nothing else: a service, a whole pipeline, files of old runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bodywork.errors import ForbiddenError, NotFoundError
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import (
    CONFIG_MAP,
    CRON_JOB,
    DEPLOYMENT,
    GATEWAY,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    RESOURCE_QUOTA,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Object,
)
from bodywork.targets.kubernetes.manifests.source import CONTENT, SOURCE
from bodywork.targets.kubernetes.secrets.git_credential import GIT
from bodywork.targets.kubernetes.secrets.kept_secrets import is_kept
from bodywork.targets.kubernetes.store import store_server

OF_SERVICE = (HTTP_ROUTE, INGRESS, HORIZONTAL_POD_AUTOSCALER, DEPLOYMENT, SERVICE, POD_DISRUPTION_BUDGET)
OF_PIPELINE = (
    CRON_JOB,
    JOB,
    *OF_SERVICE,
    ROLE_BINDING,
    ROLE,
    SERVICE_ACCOUNT,
    CONFIG_MAP,
)
UNSEEN = (GATEWAY, RESOURCE_QUOTA)
"""Kinds that an account which deploys need not see."""

TELLING = (
    *(POD, DEPLOYMENT, JOB, CRON_JOB, SERVICE, SECRET, CONFIG_MAP, PERSISTENT_VOLUME_CLAIM),
    *(GATEWAY, HTTP_ROUTE, INGRESS, SERVICE_ACCOUNT, ROLE, ROLE_BINDING),
    *(HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET, RESOURCE_QUOTA),
)
"""Kinds that show that a namespace is in use."""

GIVEN = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})
"""What Kubernetes puts into each namespace."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """For one pipeline, by its object name, in one namespace."""

    api: Api
    namespace: str
    pipeline: str

    async def objects_of(self, stage: str) -> list[Object]:
        """All that a service consists of, by the object name of its stage."""
        chosen = {labels.PIPELINE: self.pipeline, labels.STAGE: stage, labels.KIND: "service"}
        return await self._found(OF_SERVICE, chosen)

    async def service(self, stage: str) -> None:
        """Delete a service; its pods end by themselves then."""
        await self._delete(await self.objects_of(stage))

    async def everything(self) -> None:
        """Delete all of the pipeline but the lease, which whoever calls this holds; the store and a
        namespace of ours, too, unless others use them.
        """
        await self._delete(await self._found(OF_PIPELINE, {labels.PIPELINE: self.pipeline}))
        for content in (SOURCE, GIT):
            chosen = {labels.PIPELINE: self.pipeline, CONTENT: content}
            await self._delete(await self._found((SECRET,), chosen))
        if await self._used_by_other_pipelines():
            return
        await store_server.remove(self.api, self.namespace)
        await self._drop_namespace()

    async def sources(self, *, keep: str) -> None:
        """Delete the source files that no pod can need any more."""
        chosen = {labels.PIPELINE: self.pipeline}
        there = await self._found((SECRET,), {**chosen, CONTENT: SOURCE})
        if all(one["metadata"]["name"] == keep for one in there):
            return
        users = await self._found((DEPLOYMENT, REPLICA_SET, JOB, CRON_JOB), chosen)
        needed = {name for user in users for name in _secrets(user["spec"])} | {keep}
        await self._delete([one for one in there if one["metadata"]["name"] not in needed])

    async def _found(self, kinds: Iterable[Kind], chosen: dict[str, str]) -> list[Object]:
        lists = await asyncio.gather(*(self._list(kind, chosen) for kind in kinds))
        return [one for found in lists for one in found if labels.is_ours(one, self.pipeline)]

    async def _list(self, kind: Kind, chosen: dict[str, str]) -> list[Object]:
        try:
            return await self.api.list(kind, self.namespace, labels=chosen)
        except NotFoundError:  # the cluster does not know this kind
            return []
        except ForbiddenError:
            if kind in (ROLE, ROLE_BINDING, SERVICE_ACCOUNT, CRON_JOB, HTTP_ROUTE, INGRESS, *UNSEEN):
                return []  # who may not see them has not made them
            raise

    async def _delete(self, objects: Iterable[Object]) -> None:
        await asyncio.gather(*(self._delete_one(one) for one in objects))

    async def _delete_one(self, one: Object) -> None:
        kind = next(k for k in (*OF_PIPELINE, SECRET) if k.kind == one["kind"])
        await self.api.delete(kind, one["metadata"]["name"], self.namespace, uid=one["metadata"]["uid"])

    async def _used_by_other_pipelines(self) -> bool:
        for kind in (CONFIG_MAP, DEPLOYMENT, JOB, CRON_JOB):
            for one in await self._list(kind, {labels.MANAGED_BY: labels.MANAGER}):
                theirs = one["metadata"]["labels"].get(labels.PIPELINE)
                if theirs not in (None, self.pipeline):
                    return True
        return False

    async def _drop_namespace(self) -> None:
        try:
            found = await self.api.get(NAMESPACE, self.namespace)
        except ForbiddenError:
            return
        if found is None or not labels.is_ours(found, self.pipeline):
            return
        for kind in TELLING:
            if any(map(_of_others, await self._list(kind, {}))):
                return
        await self.api.delete(NAMESPACE, self.namespace, uid=found["metadata"]["uid"])


def _of_others(one: Object) -> bool:
    """Whether an object is neither ours (and about to go) nor Kubernetes' own."""
    if one["kind"] == SECRET.kind and is_kept(one):
        return True
    return not labels.is_ours(one) and (one["kind"], one["metadata"]["name"]) not in GIVEN


def _secrets(spec: Any) -> set[str]:
    """The Secrets that the pods of a Job, Deployment or CronJob mount."""
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    volumes = spec["template"]["spec"].get("volumes") or ()
    return {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
