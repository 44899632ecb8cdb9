"""The way to a service from outside the cluster: by the Gateway API, or by an Ingress where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bodywork.errors import ForbiddenError, UsageError
from bodywork.run.plan import Plan, PlannedStage
from bodywork.targets.kubernetes.api import Api
from bodywork.targets.kubernetes.kinds import GATEWAY, HTTP_ROUTE, INGRESS, INGRESS_CLASS, Object
from bodywork.targets.kubernetes.manifests.route import gateway_reference, http_route, ingress
from bodywork.targets.kubernetes.settings import Settings

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
USUAL = {"HTTP": 80, "HTTPS": 443}


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Those of one cluster, as the project's settings choose among them."""

    api: Api
    settings: Settings

    async def route(self, plan: Plan, planned: PlannedStage) -> Object | None:
        """The object that publishes a service; None: it asks for no route. Raises UsageError."""
        if not planned.stage.service.route:
            return None
        if plan.project.cluster.ingress_class is None and await self.api.served(HTTP_ROUTE):
            gateway = await self._gateway(plan)
            if gateway is not None:
                return http_route(plan, planned, self.settings, gateways=[gateway])
        controller = await self._controller(plan)
        return ingress(plan, planned, self.settings, controller=controller)

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
            if gateway and (root := _root(gateway)):
                return f"{root}{path}"
        return ""

    async def _gateway(self, plan: Plan) -> Object | None:
        """The one that the project names, or the only one that there is."""
        if named := plan.project.cluster.gateway:
            reference = gateway_reference(named, self.settings.namespace)
            if await self.api.get(GATEWAY, reference["name"], reference["namespace"]) is None:
                raise UsageError(
                    f"there is no gateway {reference['name']} in namespace {reference['namespace']}",
                    hint="name one that is there (kubernetes.gateway), or leave it away",
                )
            return reference
        try:
            found = await self.api.list(GATEWAY)
        except ForbiddenError:
            found = await self.api.list(GATEWAY, self.settings.namespace)
        names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in found]
        if len(names) > 1:
            raise UsageError(
                f"the cluster has several gateways: {', '.join(sorted(names))}",
                hint="say which one is to publish the services: kubernetes.gateway: NAMESPACE/NAME",
            )
        return gateway_reference(names[0], self.settings.namespace) if names else None

    async def _controller(self, plan: Plan) -> str:
        """That of the Ingress class in use. Raises UsageError where there is none."""
        wanted = plan.project.cluster.ingress_class
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
            else "the cluster has neither a gateway nor an Ingress class of its own choice, "
            "so nothing can publish a route",
            hint="install one, name one (kubernetes.gateway, kubernetes.ingress_class), or remove `route`",
        )

    async def _ingress_url(self, route: Object) -> str:
        found = await self.api.get(INGRESS, route["metadata"]["name"], route["metadata"]["namespace"]) or {}
        path = route["spec"]["rules"][0]["http"]["paths"][0]["path"].partition("(")[0]
        for one in ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if address := one.get("hostname") or one.get("ip"):
                return f"http://{address}{path}"
        return ""


def _root(gateway: Mapping[str, Any]) -> str:
    """`http://10.0.0.1:8000` of its first listener for HTTP."""
    addresses = (gateway.get("status") or {}).get("addresses") or ()
    for listener in gateway["spec"].get("listeners") or ():
        protocol, port = listener.get("protocol"), listener.get("port")
        host = listener.get("hostname") or (addresses[0]["value"] if addresses else "")
        if protocol in USUAL and host and not host.startswith("*"):
            return f"{protocol.lower()}://{host}{'' if port == USUAL[protocol] else f':{port}'}"
    return ""
