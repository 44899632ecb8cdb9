"""The Deployment of a service stage, and what it says about the release that it runs.

Nothing serves less while a release is rolled out: pods are taken away only once new ones are
ready. The startup probe leaves room for preparing, which can take long; `startup_timeout` is
watched by who rolls out. There is no liveness probe: a model that is busy is not dead, and a
module that ends is started anew by itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from bodywork.run.plan import ObservedService, Plan, PlannedStage
from bodywork.spec.model import Service, Stage
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.containers import InitContainer
from bodywork.targets.kubernetes.manifests.launch import Launch
from bodywork.targets.kubernetes.manifests.pod import PodParts, template
from bodywork.targets.kubernetes.settings import Settings

STAGE_NAME = f"{labels.PREFIX}stage-name"
FINGERPRINT = f"{labels.PREFIX}fingerprint"
PARTS = f"{labels.PREFIX}parts"
INPUTS = f"{labels.PREFIX}inputs"
PORT = "main"

STARTUP_PERIOD = 1
READY_PERIOD = 2
PROBE_TIMEOUT = 5
FAILURES = 3
REVISIONS = 10
ENOUGH = 60
"""Seconds after which Kubernetes calls a rollout stuck that its startup probes still allow."""


def deployment(
    plan: Plan,
    planned: PlannedStage,
    settings: Settings,
    *,
    launch: Launch,
    source: str,
    inputs: Mapping[str, str],
    init: Sequence[InitContainer] = (),
    current: int | None = None,
) -> Object:
    """A release of a service; `inputs` are digests by input name.

    Of an autoscaled service, `current` is how many replicas it has now: they are kept. None: the
    number is left to the autoscaler, as in manifests that others apply.
    """
    stage, pipeline = planned.stage, plan.project.object_name
    chosen = labels.chosen(pipeline, stage.object_name)
    pod = template(
        plan,
        stage,
        settings,
        PodParts(
            launch=launch,
            source=source,
            restart="Always",
            grace=round(settings.drain + settings.grace),
            init=init,
            container=_served(stage.service, settings),
            spec={"topologySpreadConstraints": [_spread(chosen)]},
            annotations=_facts(plan, planned, inputs),
        ),
    )
    replicas = _replicas(stage.service, current)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(stage),
            "namespace": settings.namespace,
            "labels": {**labels.of_stage(plan, stage), **labels.of_run(plan)},
        },
        "spec": {
            **({"replicas": replicas} if replicas is not None else {}),
            "revisionHistoryLimit": REVISIONS,
            "progressDeadlineSeconds": _patience(stage.service, settings) + ENOUGH,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "selector": {"matchLabels": chosen},
            "template": pod,
        },
    }


def deployment_name(stage: Stage) -> str:
    return stage.object_name


def released(
    obj: Object, *, url: str = "", ready: int | None = None, replicas: int | None = None, reason: str = ""
) -> ObservedService | None:
    """The release that a Deployment or ReplicaSet runs; None for one that bodywork did not make.

    `ready` and `replicas` are those of the object unless given. Raises ValueError when its
    annotations have been spoilt.
    """
    facts = obj["spec"]["template"]["metadata"].get("annotations") or {}
    if STAGE_NAME not in facts:
        return None
    return ObservedService(
        name=facts[STAGE_NAME],
        fingerprint=facts.get(FINGERPRINT, ""),
        inputs=json.loads(facts.get(INPUTS, "{}")),
        release=facts.get(labels.RUN, ""),
        url=url,
        ready=(obj.get("status") or {}).get("readyReplicas", 0) if ready is None else ready,
        replicas=obj["spec"].get("replicas", 1) if replicas is None else replicas,
        commit=facts.get(labels.COMMIT, ""),
        reason=reason,
        parts=json.loads(facts.get(PARTS, "{}")),
    )


def _facts(plan: Plan, planned: PlannedStage, inputs: Mapping[str, str]) -> dict[str, str]:
    return {
        STAGE_NAME: planned.stage.name,
        FINGERPRINT: planned.fingerprint,
        PARTS: json.dumps(dict(planned.parts), sort_keys=True),
        INPUTS: json.dumps(dict(inputs), sort_keys=True),
        labels.RUN: plan.run,
        labels.COMMIT: plan.source.commit,
    }


def _replicas(service: Service, current: int | None) -> int | None:
    if service.autoscale is None:
        return service.replicas
    return None if current is None else min(max(current, service.replicas), service.autoscale.max)


def _patience(service: Service, settings: Settings) -> int:
    """Seconds that a pod may take until it is ready."""
    return math.ceil(settings.prepare_timeout + service.startup_timeout)


def _served(service: Service, settings: Settings) -> Object:
    """What the container of a service has besides that of a batch stage."""
    look: Object = {"tcpSocket": {"port": PORT}}
    if service.health:
        look = {"httpGet": {"path": service.health, "port": PORT}}
    startup = {
        "periodSeconds": STARTUP_PERIOD,
        "timeoutSeconds": PROBE_TIMEOUT,
        "failureThreshold": math.ceil(_patience(service, settings) / STARTUP_PERIOD),
    }
    ready = {"periodSeconds": READY_PERIOD, "timeoutSeconds": PROBE_TIMEOUT, "failureThreshold": FAILURES}
    return {
        "ports": [{"name": PORT, "containerPort": service.port, "protocol": "TCP"}],
        "startupProbe": {**look, **startup},
        "readinessProbe": {**look, **ready},
    }


def _spread(chosen: Mapping[str, str]) -> Object:
    """The replicas of one release over the nodes, as far as that can be had."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(chosen)},
        "matchLabelKeys": ["pod-template-hash"],
    }
