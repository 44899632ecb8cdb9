"""What a cluster has and lacks for running pipelines, and what this account may do there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from bodywork.app.doctor import Finding
from bodywork.app.where import Where
from bodywork.errors import BodyworkError, ForbiddenError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import (
    GATEWAY,
    INGRESS_CLASS,
    NAMESPACE,
    NODE,
    STORAGE_CLASS,
    Kind,
)
from bodywork.targets.kubernetes.manifests.controller import RULES
from bodywork.targets.kubernetes.settings import IMAGE, STORE_IMAGE
from bodywork.targets.kubernetes.store.store import is_default

if TYPE_CHECKING:
    from bodywork.app.parts import Parts

OLDEST = (1, 29)
METRICS = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods")


async def examine(parts: Parts, where: Where) -> AsyncIterator[Finding]:
    """All findings about a cluster, one by one; the first that is missing may be the last."""
    try:
        api = Api.open(parts.ours, context=where.context)
    except BodyworkError as error:
        yield Finding(name="kubeconfig", state="missing", found=error.message, advice=error.hint or "")
        return
    yield Finding(name="kubeconfig", state="ok", found=f"context {api.context}, {api.server} as {api.user}")
    async with api:
        version = await _version(api)
        yield version
        if version.state == "missing":
            return
        yield await _nodes(api)
        yield await _namespaces(api, where)
        yield await _rights(api, where)
        yield await _storage(api)
        yield await _routes(api)
        yield await _metrics(api)
    yield _images(parts, where)


async def _version(api: Api) -> Finding:
    try:
        found = await api.version()
    except BodyworkError as error:
        return Finding(name="cluster", state="missing", found=error.message, advice=error.hint or "")
    words, oldest = ".".join(map(str, found)), ".".join(map(str, OLDEST))
    if found < OLDEST:
        return Finding(
            name="cluster",
            state="warning",
            found=f"Kubernetes {words}",
            advice=f"bodywork is made for {oldest} and later",
        )
    return Finding(name="cluster", state="ok", found=f"Kubernetes {words}")


async def _nodes(api: Api) -> Finding:
    try:
        nodes = await api.list(NODE)
    except ForbiddenError:
        return Finding(name="nodes", state="ok", found="this account may not see them, which is all right")
    ready = [node for node in nodes if _is_ready(node)]
    machines = sorted({node["status"]["nodeInfo"]["architecture"] for node in nodes})
    return Finding(
        name="nodes",
        state="ok" if ready else "warning",
        found=f"{len(ready)} of {len(nodes)} ready, {', '.join(machines)}",
        advice="" if ready else "stages wait until there is a node that is ready",
    )


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def _namespaces(api: Api, where: Where) -> Finding:
    try:
        if where.namespace and await api.get(NAMESPACE, where.namespace):
            return Finding(name="namespace", state="ok", found=f"{where.namespace} is there")
    except ForbiddenError:
        unseen = f"whether {where.namespace} is there, this account may not see"
        return Finding(name="namespace", state="ok", found=unseen)
    if await api.allowed("create", NAMESPACE):
        return Finding(name="namespace", state="ok", found="this account may make namespaces")
    named = f"namespace {where.namespace} is not there, and " if where.namespace else ""
    return Finding(
        name="namespace",
        state="missing" if where.namespace else "warning",
        found=f"{named}this account may not make namespaces",
        advice="have one made, and name it: --namespace NAME, or `kubernetes: {namespace: NAME}`",
    )


async def _rights(api: Api, where: Where) -> Finding:
    """What the controller needs is what any command needs that deploys."""
    namespace = where.namespace or api.default_namespace
    lacking = [
        f"{verb} {kind.plural}{f'/{subresource}' if subresource else ''}"
        for kind, subresource, verbs in RULES
        for verb in verbs
        if not await api.allowed(verb, kind, namespace, subresource=subresource)
    ]
    if not lacking:
        return Finding(
            name="rights", state="ok", found=f"{api.user} may do all that is needed in namespace {namespace}"
        )
    return Finding(
        name="rights",
        state="missing",
        found=f"{api.user} may not, in namespace {namespace}: {', '.join(lacking)}",
        advice="ask for the Role that `bodywork render` prints, or name another namespace: --namespace NAME",
    )


async def _storage(api: Api) -> Finding:
    try:
        classes = await api.list(STORAGE_CLASS)
    except ForbiddenError:
        return Finding(name="storage", state="ok", found="this account may not see storage classes")
    for one in classes:
        if is_default(one):
            return Finding(
                name="storage", state="ok", found=f"default storage class {one['metadata']['name']}"
            )
    return Finding(
        name="storage",
        state="warning",
        found="no default storage class",
        advice="projects with inputs and outputs need one, or a bucket: `store: s3://BUCKET/PREFIX`",
    )


async def _routes(api: Api) -> Finding:
    advice = "services with a `route` need a gateway or an ingress controller; others do not"
    try:
        gateways = await api.list(GATEWAY) if await api.served(GATEWAY) else []
        classes = await api.list(INGRESS_CLASS)
    except ForbiddenError:
        return Finding(
            name="routes", state="ok", found="this account may not see gateways and ingress classes"
        )
    found = [f"gateway {one['metadata']['namespace']}/{one['metadata']['name']}" for one in gateways]
    found += [f"ingress class {one['metadata']['name']}" for one in classes]
    if not found:
        return Finding(name="routes", state="warning", found="no gateway, no ingress class", advice=advice)
    return Finding(name="routes", state="ok", found=", ".join(found))


async def _metrics(api: Api) -> Finding:
    if await api.served(METRICS):
        return Finding(name="metrics", state="ok", found="the metrics API is served")
    return Finding(
        name="metrics",
        state="warning",
        found="no metrics API",
        advice="only services with `autoscale` need it: install the metrics server",
    )


def _images(parts: Parts, where: Where) -> Finding:
    stages = where.image or IMAGE
    store = where.store_image or STORE_IMAGE
    return Finding(name="images", state="ok", found=f"stages: {stages}; store: {store}")
