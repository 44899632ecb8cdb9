"""A schedule in a cluster: a CronJob whose pod deploys the project at the commit of that moment, and
one whose pod looks first whether the branch has moved.

Each pod has the rights of a controller and, alone of all pods, what opens the repository. Everything
that a firing has to know stands in the CronJob, so that the pod asks the cluster for nothing of it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from bodywork.spec.model import Missed, Overlap, Project, Schedule
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.controller import (
    REPLACED,
    RETRIES,
    controlling_pod,
    variables_of,
)
from bodywork.targets.kubernetes.manifests.every import expression, whole_minutes
from bodywork.targets.kubernetes.manifests.variables import plain
from bodywork.targets.kubernetes.settings import Settings

SCHEDULE = "schedule"
PUSH = "push"
"""The kind of all that looks at the branch, beside that of what runs at its times."""

KINDS = (SCHEDULE, PUSH)
SINCE = f"{labels.PREFIX}since"
"""Annotation: the time, in seconds since the epoch, from which on the CronJob has had its times."""

PAUSED = f"{labels.PREFIX}paused"
"""Annotation: since when it has been paused."""

DEFINITION = "BODYWORK_SCHEDULE"
JOB = "BODYWORK_JOB"
GIT = "/git"
IN_TIME = 90
"""Seconds after which a time counts as missed."""

LEAST_DEADLINE = 10
"""Seconds; a shorter one could pass between two looks of the CronJob controller."""

KEPT_JOBS = 3
NOW = "-now-"
LOOK = f"-{PUSH}-"


@dataclass(frozen=True, kw_only=True)
class Times:
    """A schedule as far as its CronJobs go. `document` is what the pod is told of it.

    `credential` is the Secret that opens the repository; `gateway` is as in `Settings`.
    """

    name: str
    document: str
    rule: Schedule
    since: float
    paused: float | None = None
    credential: str | None = None
    gateway: str | None = None


def cron_jobs(project: Project, times: Times, settings: Settings) -> list[Object]:
    """One for its times, one for pushes, or both."""
    made = []
    if times.rule.cron is not None:
        made.append(cron_job(project, times, settings))
    if times.rule.on_push is not None:
        made.append(push_job(project, times, settings))
    return made


def cron_job(project: Project, times: Times, settings: Settings) -> Object:
    """Runs the project at its times. Raises AssertionError for a rule without any."""
    assert times.rule.cron is not None
    deadline = _deadline(times.rule)
    spec = {
        "schedule": times.rule.cron,
        "timeZone": times.rule.timezone,
        "concurrencyPolicy": "Replace" if times.rule.overlap is Overlap.REPLACE else "Forbid",
        "successfulJobsHistoryLimit": KEPT_JOBS,
        "failedJobsHistoryLimit": KEPT_JOBS,
        **({} if deadline is None else {"startingDeadlineSeconds": deadline}),
    }
    return _made(project, times, settings, times.name, SCHEDULE, spec)


def push_job(project: Project, times: Times, settings: Settings) -> Object:
    """Looks whether the branch has moved, and runs the project if so; not while such a run goes on.

    Raises AssertionError for a rule that does not ask for it.
    """
    assert times.rule.on_push is not None
    spec = {
        "schedule": expression(whole_minutes(times.rule.on_push)),
        "timeZone": "UTC",
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 0,
        "failedJobsHistoryLimit": 1,
        "startingDeadlineSeconds": IN_TIME,
    }
    return _made(project, times, settings, push_name(times.name), PUSH, spec)


def _made(project: Project, times: Times, settings: Settings, name: str, kind: str, spec: Object) -> Object:
    mine = marks(project, times.name, kind)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": mine,
            "annotations": {
                SINCE: f"{times.since:.3f}",
                **({} if times.paused is None else {PAUSED: f"{times.paused:.3f}"}),
            },
        },
        "spec": {
            **spec,
            "suspend": times.paused is not None,
            "jobTemplate": {"metadata": {"labels": mine}, "spec": _job(times, settings, mine)},
        },
    }


def push_name(name: str) -> str:
    """The CronJob of a schedule that looks at its branch."""
    return f"{name}-{PUSH}"


def marks(project: Project, name: str, kind: str = SCHEDULE) -> dict[str, str]:
    """The labels of all that belongs to a schedule."""
    return {**labels.of_pipeline(project), labels.NAME: name, labels.KIND: kind}


def job_now(cron_job: Object, at: int) -> Object:
    """A Job as a CronJob of a schedule would make it, for a firing that somebody asks for at `at`."""
    metadata = cron_job["metadata"]
    mine = {**metadata["labels"], labels.KIND: SCHEDULE}
    spec = copy.deepcopy(cron_job["spec"]["jobTemplate"]["spec"])
    spec["template"]["metadata"]["labels"] = mine
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{mine[labels.NAME]}{NOW}{at}",
            "namespace": metadata["namespace"],
            "labels": mine,
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
        },
        "spec": {**spec, "ttlSecondsAfterFinished": 24 * 3600},
    }


def job_of(name: str, due: float) -> str:
    """The name that the CronJob controller gives to the Job of a time: it ends in minutes since the epoch."""
    return f"{name}-{int(due // 60)}"


def due_of(name: str, job: str) -> tuple[float, bool]:
    """The inverse, of both kinds of firings' Jobs: the time, and whether somebody has asked for it."""
    rest = job.removeprefix(name)
    if rest.startswith(NOW):
        return float(rest.removeprefix(NOW)), True
    return float(rest.removeprefix("-")) * 60, False


def is_look(name: str, job: str) -> bool:
    """Whether a Job of a schedule was made to look at its branch."""
    return job.removeprefix(name).startswith(LOOK)


def document_of(cron_job: Object) -> str:
    """What the pods of a CronJob are told of its schedule."""
    containers = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    entries: list[dict[str, Any]] = containers[0]["env"]
    (text,) = (entry["value"] for entry in entries if entry["name"] == DEFINITION)
    return str(text).replace("$$", "$")


def _job(times: Times, settings: Settings, mine: dict[str, str]) -> Object:
    command = ["bodywork", "firing", "--job", f"$({JOB})", "--namespace", settings.namespace]
    more = {DEFINITION: times.document}
    if times.gateway:
        more["BODYWORK_GATEWAY"] = times.gateway
    path = "metadata.labels['batch.kubernetes.io/job-name']"
    env = [
        {"name": JOB, "valueFrom": {"fieldRef": {"fieldPath": path}}},
        *plain(variables_of(settings, more)),
    ]
    secrets = {GIT: times.credential} if times.credential else {}
    return {
        "backoffLimit": RETRIES,
        "podReplacementPolicy": REPLACED,
        "template": {
            "metadata": {"labels": mine},
            "spec": controlling_pod(command, settings, env=env, secrets=secrets),
        },
    }


def _deadline(rule: Schedule) -> int | None:
    """Whole seconds. A schedule that catches nothing up gives a time up as soon as it is late."""
    found = rule.deadline
    if rule.missed is Missed.NONE:
        found = min(found, IN_TIME) if found is not None else IN_TIME
    return None if found is None else max(LEAST_DEADLINE, int(found))
