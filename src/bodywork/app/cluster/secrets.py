"""Secrets in a cluster, for the commands that set, list and delete them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from bodywork.app.parts import Parts
from bodywork.app.where import Where
from bodywork.errors import ForbiddenError, UsageError
from bodywork.secret import Entry
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, NAMESPACE, Object
from bodywork.targets.kubernetes.manifests.namespace import empty
from bodywork.targets.kubernetes.secrets.kept_secrets import KeptSecrets, checked
from bodywork.targets.kubernetes.settings import checked_namespace

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ClusterKeeper:
    """A `Keeper` whose secrets are in a namespace of a cluster."""

    parts: Parts
    where: Where

    def check(self, secret: str, key: str, group: str | None) -> None:
        self._namespace()
        checked(secret, group, [key])

    def set(self, secret: str, values: Mapping[str, str], group: str | None) -> dict[str, bool]:
        """The namespace is made when it is not there: what a stage needs is set before its first run."""
        namespace = self._namespace()
        checked(secret, group, values)

        async def work(api: Api) -> dict[str, bool]:
            await self._make(api, namespace)
            return await KeptSecrets(api=api, namespace=namespace).set(secret, values, group, now=time.time())

        return self._with(work)

    def users(self, secret: str, keys: Collection[str], group: str | None) -> list[str]:
        name, namespace = checked(secret, group, keys), self._namespace()
        wanted = {(name, key) for key in keys}

        async def work(api: Api) -> list[str]:
            try:
                found = await api.list(DEPLOYMENT, namespace, labels={labels.MANAGED_BY: labels.MANAGER})
            except ForbiddenError:  # who sets secrets need not be allowed to see who uses them
                return []
            return sorted(map(user, filter(lambda one: wanted & refers_to(one), found)))

        return self._with(work)

    def entries(self) -> list[Entry]:
        async def work(api: Api) -> list[Entry]:
            return await KeptSecrets(api=api, namespace=self.where.namespace).entries()

        try:
            return self._with(work)
        except ForbiddenError as error:
            if self.where.namespace is not None:
                raise
            raise ForbiddenError(error.message, hint="name the namespace: --namespace NAME") from error

    def keys(self, secret: str, key: str | None, group: str | None) -> list[str]:
        kept = self._namespace()
        return self._with(lambda api: KeptSecrets(api=api, namespace=kept).keys(secret, key, group))

    def delete(self, secret: str, key: str | None, group: str | None) -> list[str]:
        kept = self._namespace()
        return self._with(
            lambda api: KeptSecrets(api=api, namespace=kept).delete(secret, key, group, now=time.time())
        )

    def _namespace(self) -> str:
        if self.where.namespace is None:
            raise UsageError(
                "in a cluster a secret belongs to a namespace: name it",
                hint="--namespace NAME: a pipeline's is its own name, unless bodywork.yaml gives another",
            )
        return checked_namespace(self.where.namespace)

    async def _make(self, api: Api, namespace: str) -> None:
        try:
            there = await api.get(NAMESPACE, namespace)
        except ForbiddenError:
            return  # who may write there need not be allowed to see this
        if there is None:
            await api.apply(empty(namespace))
            self.parts.note(f"namespace {namespace} was made")

    def _with(self, work: Callable[[Api], Awaitable[T]]) -> T:
        async def call() -> T:
            async with Api.open(self.parts.ours, context=self.where.context, note=self.parts.note) as api:
                return await work(api)

        return asyncio.run(call())


def refers_to(deployment: Object) -> set[tuple[str, str]]:
    """The keys of Secrets that its pods get as variables."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    entries = [entry for one in containers for entry in one.get("env") or ()]
    found = [entry["valueFrom"].get("secretKeyRef") for entry in entries if "valueFrom" in entry]
    return {(one["name"], one["key"]) for one in found if one}


def user(deployment: Object) -> str:
    marks = deployment["metadata"]["labels"]
    return f"{marks[labels.STAGE]} of {marks[labels.PIPELINE]}"
