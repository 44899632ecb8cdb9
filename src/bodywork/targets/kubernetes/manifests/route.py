"""The way from outside to a service with a `route`: an HTTPRoute, or an Ingress on older clusters.

A service finds the whole path in its requests. Projects of 2021-22 were published with
`ingress: true`, which took the prefix off: theirs do not see it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bodywork.errors import UsageError
from bodywork.run.plan import Plan, PlannedStage
from bodywork.spec.model import Project, Stage
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.deployment import PORT
from bodywork.targets.kubernetes.manifests.service import service_names
from bodywork.targets.kubernetes.settings import Settings

NGINX = "k8s.io/ingress-nginx"
REWRITE = "nginx.ingress.kubernetes.io/rewrite-target"


def gateway_reference(gateway: str, namespace: str) -> Object:
    """What `kubernetes.gateway` (NAME, or NAMESPACE/NAME) is to an HTTPRoute in `namespace`."""
    place, _, name = gateway.rpartition("/")
    return {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": name,
        "namespace": place or namespace,
    }


def takes_prefix_off(project: Project) -> bool:
    return project.version != "2"


def http_route(
    plan: Plan, planned: PlannedStage, settings: Settings, *, gateways: Sequence[Object]
) -> Object | None:
    """For a cluster with the Gateway API; None when no route is asked for.

    `gateways` are references as `gateway_reference` makes them.
    """
    stage = planned.stage
    if not stage.service.route:
        return None
    rule: Object = {
        "matches": [{"path": {"type": "PathPrefix", "value": _prefix(stage)}}],
        "backendRefs": [
            {
                "group": "",
                "kind": "Service",
                "name": service_names(stage)[0],
                "port": stage.service.port,
                "weight": 1,
            }
        ],
    }
    if takes_prefix_off(plan.project):
        path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": {"path": path}}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _metadata(plan, stage, settings),
        "spec": {"parentRefs": list(gateways), "rules": [rule]},
    }


def ingress(plan: Plan, planned: PlannedStage, settings: Settings, *, controller: str = "") -> Object | None:
    """For a cluster without the Gateway API; None when no route is asked for.

    `controller` is that of the IngressClass in use. Raises UsageError where the prefix is to be
    taken off and the controller has no way of its own to do it that we know of.
    """
    stage = planned.stage
    if not stage.service.route:
        return None
    metadata, path, kind = _metadata(plan, stage, settings), _prefix(stage), "Prefix"
    check_prefix(plan.project, stage, controller)
    if takes_prefix_off(plan.project) and path != "/":
        metadata["annotations"] = {REWRITE: "/$2"}
        path, kind = f"{path}(/|$)(.*)", "ImplementationSpecific"
    backend = {"service": {"name": service_names(stage)[0], "port": {"name": PORT}}}
    chosen = plan.project.cluster.ingress_class
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": {
            **({"ingressClassName": chosen} if chosen else {}),
            "rules": [{"http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}],
        },
    }


def check_prefix(project: Project, stage: Stage, controller: str) -> None:
    """Raises UsageError where an Ingress of this controller cannot say what a route is to do."""
    path = _prefix(stage)
    if takes_prefix_off(project) and path != "/" and controller != NGINX:
        raise UsageError(
            f"the route {path} of {stage.name} needs its prefix taken off, "
            f"which Ingress cannot say{f' to {controller}' if controller else ''}",
            hint="use a cluster with the Gateway API, or remove `ingress: true` of the stage",
        )


def _prefix(stage: Stage) -> str:
    return (stage.service.route or "").rstrip("/") or "/"


def _metadata(plan: Plan, stage: Stage, settings: Settings) -> Object:
    return {
        "name": stage.object_name,
        "namespace": settings.namespace,
        "labels": labels.of_stage(plan, stage),
    }
