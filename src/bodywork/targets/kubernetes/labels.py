"""The labels by which bodywork finds its objects again; only what carries them is ever changed or deleted."""

from __future__ import annotations

from collections.abc import Mapping

from bodywork.run.plan import Plan
from bodywork.spec.model import Project, Stage

PREFIX = "bodywork/"

MANAGED_BY = "app.kubernetes.io/managed-by"
PART_OF = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
MANAGER = "bodywork"

PIPELINE = f"{PREFIX}pipeline"
STAGE = f"{PREFIX}stage"
KIND = f"{PREFIX}kind"
RUN = f"{PREFIX}run"
COMMIT = f"{PREFIX}commit"
ATTEMPT = f"{PREFIX}attempt"


def of_pipeline(project: Project) -> dict[str, str]:
    """What every object of a pipeline carries."""
    return of_name(project.object_name)


def of_name(pipeline: str) -> dict[str, str]:
    """The same, where no more is known of a pipeline than its object name."""
    return {MANAGED_BY: MANAGER, PART_OF: pipeline, PIPELINE: pipeline}


def of_stage(plan: Plan, stage: Stage) -> dict[str, str]:
    """What every object of a stage carries, whichever run made it."""
    return {
        **of_pipeline(plan.project),
        NAME: stage.object_name,
        STAGE: stage.object_name,
        KIND: stage.kind.value,
    }


def of_run(plan: Plan) -> dict[str, str]:
    """What the objects of one run carry."""
    return {**of_pipeline(plan.project), RUN: plan.run, COMMIT: plan.source.commit}


def chosen(pipeline: str, stage: str) -> dict[str, str]:
    """What a Deployment, its Service and its budget choose pods by, all releases alike; never changes."""
    return {PIPELINE: pipeline, STAGE: stage}


def is_ours(obj: Mapping[str, object], pipeline: str | None = None) -> bool:
    """Whether bodywork made an object and, with `pipeline` (its object name), made it for that pipeline."""
    metadata = obj.get("metadata")
    labels = metadata.get("labels") or {} if isinstance(metadata, Mapping) else {}
    return labels.get(MANAGED_BY) == MANAGER and pipeline in (None, labels.get(PIPELINE))
