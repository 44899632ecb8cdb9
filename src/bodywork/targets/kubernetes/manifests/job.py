"""The Job of one attempt of a batch stage.

The engine decides about retries, so a Job starts one pod that counts. What Kubernetes itself does
to a pod (an eviction, a drained node) is no failure of the stage: such a pod is replaced, once it
has ended, so that a stage never runs twice at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from bodywork.run.plan import Plan, PlannedStage
from bodywork.spec.model import Stage
from bodywork.spec.names import LONGEST
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.containers import InitContainer
from bodywork.targets.kubernetes.manifests.launch import Launch
from bodywork.targets.kubernetes.manifests.pod import PodParts, template
from bodywork.targets.kubernetes.settings import Settings


def job_name(plan: Plan, stage: Stage, attempt: int) -> str:
    """`STAGE-RUN-ATTEMPT`; a stage's name that is too long is cut and gets a digest of the whole."""
    return with_run(stage.object_name, f"{plan.run}-{attempt}")


def with_run(name: str, ending: str) -> str:
    """`NAME-ENDING`, with at most 63 characters."""
    room = LONGEST - len(ending) - 1
    if len(name) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: room - 9].rstrip('-')}-{digest}"
    return f"{name}-{ending}"


def job(
    plan: Plan,
    planned: PlannedStage,
    settings: Settings,
    *,
    attempt: int,
    launch: Launch,
    source: str,
    variables: Mapping[str, str],
    init: Sequence[InitContainer] = (),
) -> Object:
    """One attempt of a batch stage; `source` is the Secret with the files of the run."""
    stage = planned.stage
    pod = template(
        plan,
        stage,
        settings,
        PodParts(
            launch=launch,
            source=source,
            restart="Never",
            grace=round(settings.grace),
            added=variables,
            init=init,
        ),
    )
    mine = {**pod["metadata"]["labels"], labels.ATTEMPT: str(attempt)}
    pod["metadata"]["labels"] = mine
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(plan, stage, attempt),
            "namespace": settings.namespace,
            "labels": mine,
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [_disrupted()]},
            "ttlSecondsAfterFinished": settings.keep_finished,
            "template": pod,
        },
    }


def _disrupted() -> Object:
    return {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
