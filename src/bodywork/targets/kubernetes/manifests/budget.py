"""How many replicas of a service may be gone at once because somebody drains nodes."""

from __future__ import annotations

from bodywork.run.plan import Plan, PlannedStage
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.settings import Settings


def disruption_budget(plan: Plan, planned: PlannedStage, settings: Settings) -> Object | None:
    """One at a time; None for a service with a single replica, which would only hold the drain up.

    Replicas that are not ready may always go: a release that does not start must not keep a node.
    """
    stage = planned.stage
    service = stage.service
    if max(service.replicas, service.autoscale.max if service.autoscale else 0) < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": stage.object_name,
            "namespace": settings.namespace,
            "labels": labels.of_stage(plan, stage),
        },
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": labels.chosen(plan.project.object_name, stage.object_name)},
        },
    }
