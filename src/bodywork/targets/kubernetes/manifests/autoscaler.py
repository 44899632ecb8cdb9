"""The HorizontalPodAutoscaler of a service that says how far it may grow."""

from __future__ import annotations

from bodywork.run.plan import Plan, PlannedStage
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.deployment import deployment_name
from bodywork.targets.kubernetes.settings import Settings


def autoscaler(plan: Plan, planned: PlannedStage, settings: Settings) -> Object | None:
    """From `replicas` to `max`, by the CPU that replicas use of what they ask for; None: not asked for."""
    stage = planned.stage
    asked = stage.service.autoscale
    if asked is None:
        return None
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": stage.object_name,
            "namespace": settings.namespace,
            "labels": labels.of_stage(plan, stage),
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment_name(stage)},
            "minReplicas": stage.service.replicas,
            "maxReplicas": asked.max,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": asked.cpu},
                    },
                }
            ],
        },
    }
