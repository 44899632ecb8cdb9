"""The way to a service from outside the cluster: by the Gateway API, or by an Ingress where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bodywork.errors import ForbiddenError, UsageError
from bodywork.run.plan import Plan, PlannedStage
from bodywork.spec.model import Kind, Project
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import GATEWAY, HTTP_ROUTE, INGRESS, INGRESS_CLASS, Object
from bodywork.targets.kubernetes.manifests.route import (
    check_prefix,
    gateway_reference,
    http_route,
    ingress,
    takes_prefix_off,
)
from bodywork.targets.kubernetes.settings import Settings

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
USUAL = {"HTTP": 80, "HTTPS": 443}


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Those of one cluster, as the project's settings choose among them."""

    api: Api
    settings: Settings

    async def gateway(self, project: Project) -> str | None:
        """NAMESPACE/NAME of the gateway that publishes its services; None: none does, or none is needed."""
        if not any(one.kind is Kind.SERVICE and one.service.route for one in project.stages):
            return None
        with contextlib.suppress(UsageError):
            if found := await self._gateway(project):
                return f"{found['namespace']}/{found['name']}"
        return None

    async def lacks(self, project: Project) -> str:
        """What its routes need and is not there, as a sentence with a next step; "": nothing."""
        published = [one for one in project.stages if one.kind is Kind.SERVICE and one.service.route]
        try:
            if published and await self._gateway(project) is None:
                controller = await self._controller(project)
                for stage in published:
                    check_prefix(project, stage, controller)
        except UsageError as error:
            return f"{error.message}; {error.hint}"
        return ""

    async def route(self, plan: Plan, planned: PlannedStage) -> Object | None:
        """The object that publishes a service; None: it has none. Raises UsageError.

        Projects of 2021-22 asked for an Ingress whether or not anything served it, and ran all the same.
        """
        if not planned.stage.service.route:
            return None
        try:
            if (gateway := await self._gateway(plan.project)) is not None:
                return http_route(plan, planned, self.settings, gateways=[gateway])
            controller = await self._controller(plan.project)
            return ingress(plan, planned, self.settings, controller=controller)
        except UsageError:
            if takes_prefix_off(plan.project):
                return None
            raise

    async def url(self, route: Object | None) -> str:
        """Where a route is reached from outside, as far as the cluster says it; else ""."""
        if route is None or route["kind"] != "HTTPRoute":
            return await self._ingress_url(route) if route else ""
        path = route["spec"]["rules"][0]["matches"][0]["path"]["value"]
        for reference in route["spec"]["parentRefs"]:
            try:
                gateway = await self.api.get(GATEWAY, reference["name"], reference["namespace"])
            except ForbiddenError:
                return ""
            if gateway and (root := _root(gateway, self.settings.namespace)):
                return f"{root}{path}"
        return ""

    async def _gateway(self, project: Project) -> Object | None:
        """The one that the project names, or the only one for its routes, in its namespace or at all."""
        if project.cluster.ingress_class is not None or not await self.api.served(HTTP_ROUTE):
            return None
        if named := project.cluster.gateway or self.settings.gateway:
            return await self._named(gateway_reference(named, self.settings.namespace))
        found = [one for one in await self._gateways() if _open_to(one, self.settings.namespace)]
        near = [one for one in found if one["metadata"]["namespace"] == self.settings.namespace]
        names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in near or found]
        if len(names) > 1:
            raise UsageError(
                f"the cluster has several gateways for namespace {self.settings.namespace}: "
                f"{', '.join(sorted(names))}",
                hint="say which one is to publish the services: kubernetes.gateway: NAMESPACE/NAME",
            )
        return gateway_reference(names[0], self.settings.namespace) if names else None

    async def _named(self, reference: Object) -> Object:
        """Whoever may not see it, like a controller in the cluster, takes the name for it."""
        with contextlib.suppress(ForbiddenError):
            found = await self.api.get(GATEWAY, reference["name"], reference["namespace"])
            if found is None:
                raise UsageError(
                    f"there is no gateway {reference['name']} in namespace {reference['namespace']}",
                    hint="name one that is there (kubernetes.gateway), or leave it away",
                )
            if not _open_to(found, self.settings.namespace):
                raise UsageError(
                    f"the gateway {reference['namespace']}/{reference['name']} takes no routes of namespace "
                    f"{self.settings.namespace}",
                    hint="allow them in its listeners (allowedRoutes), or name another one "
                    "(kubernetes.gateway)",
                )
        return reference

    async def _gateways(self) -> list[Object]:
        for namespace in (None, self.settings.namespace):
            with contextlib.suppress(ForbiddenError):
                return await self.api.list(GATEWAY, namespace)
        raise UsageError(
            "which gateway is to publish the services is not known: this account may not see gateways",
            hint="name it in bodywork.yaml: kubernetes: {gateway: NAMESPACE/NAME}",
        )

    async def _controller(self, project: Project) -> str:
        """That of the Ingress class in use. Raises UsageError where there is none."""
        wanted = project.cluster.ingress_class
        try:
            classes = await self.api.list(INGRESS_CLASS)
        except ForbiddenError:
            return ""
        for one in classes:
            annotations = one["metadata"].get("annotations") or {}
            if one["metadata"]["name"] == wanted or (
                wanted is None and (annotations.get(DEFAULT_CLASS) == "true" or len(classes) == 1)
            ):
                return str((one.get("spec") or {}).get("controller", ""))
        raise UsageError(
            f"the cluster has no Ingress class {wanted}"
            if wanted
            else f"the cluster has neither a gateway for routes of namespace {self.settings.namespace} "
            "nor an Ingress class that is its default or only one: nothing can publish a route",
            hint="install one, name one (kubernetes.gateway, kubernetes.ingress_class), or remove `route`",
        )

    async def _ingress_url(self, route: Object) -> str:
        found = await self.api.get(INGRESS, route["metadata"]["name"], route["metadata"]["namespace"]) or {}
        path = route["spec"]["rules"][0]["http"]["paths"][0]["path"].partition("(")[0]
        for one in ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if address := one.get("hostname") or one.get("ip"):
                return f"http://{address}{path}"
        return ""


def _open_to(gateway: Mapping[str, Any], namespace: str) -> list[Mapping[str, Any]]:
    """Its listeners for HTTP that take routes of a namespace: of its own one only, unless it says more.

    A selector, which goes by labels that not everybody may see, is taken to choose it
    (`AllowedRoutes` of gateway.networking.k8s.io/v1).
    """
    own = gateway["metadata"]["namespace"] == namespace
    takes = {"All": True, "Selector": True, "Same": own}
    return [
        listener
        for listener in gateway["spec"].get("listeners") or ()
        if listener.get("protocol") in USUAL
        and takes.get(((listener.get("allowedRoutes") or {}).get("namespaces") or {}).get("from") or "Same")
    ]


def _root(gateway: Mapping[str, Any], namespace: str) -> str:
    """`http://10.0.0.1:8000` of the first listener that takes routes of the namespace."""
    addresses = (gateway.get("status") or {}).get("addresses") or ()
    for listener in _open_to(gateway, namespace):
        protocol, port = listener["protocol"], listener["port"]
        host = listener.get("hostname") or (addresses[0]["value"] if addresses else "")
        if host and not host.startswith("*"):
            return f"{protocol.lower()}://{host}{'' if port == USUAL[protocol] else f':{port}'}"
    return ""
