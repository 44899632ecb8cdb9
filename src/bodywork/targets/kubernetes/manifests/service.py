"""The Services of a service stage: one for each name by which other stages call it."""

from __future__ import annotations

from bodywork.run.plan import Plan, PlannedStage
from bodywork.spec.model import Stage
from bodywork.spec.names import is_label
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.deployment import PORT
from bodywork.targets.kubernetes.settings import Settings


def services(plan: Plan, planned: PlannedStage, settings: Settings) -> list[Object]:
    """They differ in their names only; names that Kubernetes cannot take are passed over."""
    return [_service(plan, planned.stage, settings, name) for name in service_names(planned.stage)]


def service_names(stage: Stage) -> list[str]:
    """The host names of a stage that a Service can have. The first is the one to call it by."""
    return list(dict.fromkeys(name for name in (*stage.host_names, stage.object_name) if is_label(name)))


def _service(plan: Plan, stage: Stage, settings: Settings, name: str) -> Object:
    port = stage.service.port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": labels.of_stage(plan, stage),
        },
        "spec": {
            "type": "ClusterIP",
            "selector": labels.chosen(plan.project.object_name, stage.object_name),
            "ports": [{"name": PORT, "port": port, "targetPort": PORT, "protocol": "TCP"}],
        },
    }
