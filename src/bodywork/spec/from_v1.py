"""The old forms -> the model, with what the tool of 2021-22 did around their modules."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from bodywork.spec import order, requirement
from bodywork.spec.check import Keys, check
from bodywork.spec.model import (
    Batch,
    Project,
    Requirements,
    Resources,
    SecretVariable,
    Service,
    Stage,
)
from bodywork.spec.names import host_label, label, unique_labels
from bodywork.spec.paths import tidy
from bodywork.spec.report import Report
from bodywork.spec.shape import fit
from bodywork.spec.tree import quote
from bodywork.spec.v1 import STAND_INS, OldHead, OldProject, OldService, OldStage

PYTHON = "3.9"
PYTHON_OF_2 = "3.8"
MEGABYTE = 10**6


def read(report: Report, files: Collection[str] | None, version: Literal["1.0", "1.1"]) -> Project:
    """The project of an old file; what is wrong with it is in the report.

    `files` are the paths below the project's folder; None: not known.
    """
    form = fit(OldProject, report, STAND_INS, lenient=True)
    where, head = _head(report, form)
    stages = _stages(report, form, head)
    flow = (where, "workflow" if head.DAG is None and head.workflow is not None else "DAG")
    ordered = order.arrange(
        report, stages, text=head.workflow if head.DAG is None else head.DAG, waits={}, aside=None, at=flow
    )
    aside = (where, "run_on_failure")
    standing_by = order.stand_by(report, stages, head.run_on_failure, aside)
    in_use = {name for step in ordered.steps for name in step}
    unused = tuple(name for name in ordered.unused if name != head.run_on_failure)
    if standing_by is not None and standing_by.name in in_use:
        standing_by = _twin(standing_by, stages)
    project = Project(
        name=head.name,
        object_name=label(head.name, "project"),
        version=version,
        stages=ordered.stages,
        steps=ordered.steps,
        unused=unused,
        on_failure=standing_by,
        setuptools=True,
        secrets_group=head.secrets_group,
        log_level=form.logging.log_level.upper() if form.logging and form.logging.log_level else None,
    )
    runs = {name: _module_key(stage) for name, stage in form.stages.items()}
    check(project, report, Keys(run=runs, on_failure=aside, strict=False), files, stages)
    return project


def _head(report: Report, form: OldProject) -> tuple[str, OldHead]:
    """The key of the head, and the head."""
    for key, head in (("pipeline", form.pipeline), ("project", form.project)):
        if head is not None:
            other = "project" if key == "pipeline" else "pipeline"
            if getattr(form, other) is not None:
                report.warn((other,), f"ignored, since there is `{key}` too", key=True)
            return key, head
    if not (report.broken(("pipeline",)) or report.broken(("project",))):
        report.error(("project",), "required key is missing", key=True)
    report.mark(("project",))
    return "project", OldHead(name="project")


def _stages(report: Report, form: OldProject, head: OldHead) -> dict[str, Stage]:
    if not form.stages and not report.broken(("stages",)):
        report.error(("stages",), "there is no stage: write at least one", key=True)
    labels = unique_labels(form.stages)
    version, image = _python(head.docker_image)
    stages = {}
    for name, stage in form.stages.items():
        _look_at(report, name, stage)
        project = label(head.name, "project")
        stages[name] = replace(
            _stage(name, stage, labels[name]),
            python=version,
            image=image,
            does=_does(stage, f"/{project}/{labels[name]}"),
            host_names=_hosts(name, labels, host_label(head.name)) if stage.service else (),
        )
    return stages


def _look_at(report: Report, name: str, stage: OldStage) -> None:
    """What is wrong with one stage by itself."""
    path = ("stages", name)
    if stage.executable_module_path is None and stage.executable_module is None:
        report.error((*path, "executable_module_path"), "required key is missing", key=True)
        report.mark((*path, "executable_module_path"))
    if stage.batch is not None and stage.service is not None:
        message = "a stage is either `batch` or `service`: remove one of them"
        report.error((*path, "service"), message, key=True)
    for line in stage.requirements:
        if line.strip() and not line.strip().startswith(("-", "git+")) and (fault := requirement.fault(line)):
            said = fault if fault.startswith("is not") else f"may not work: {fault}"
            report.warn((*path, "requirements"), f"{quote(line)} {said}")


def _module_key(stage: OldStage) -> str:
    older = stage.executable_module_path is None and stage.executable_module is not None
    return "executable_module" if older else "executable_module_path"


def _stage(name: str, stage: OldStage, object_name: str) -> Stage:
    memory = stage.memory_request_mb
    return Stage(
        name=name,
        object_name=object_name,
        run=tidy(stage.executable_module_path or stage.executable_module or ""),
        args=tuple(stage.args),
        requirements=Requirements(packages=tuple(filter(None, map(str.strip, stage.requirements)))),
        env=MappingProxyType({key: value or "" for key, value in stage.env.items()}),
        secrets=tuple(SecretVariable(variable=key, secret=secret) for key, secret in stage.secrets.items()),
        resources=Resources(
            cpu=stage.cpu_request or None,
            memory=round(memory * MEGABYTE) if memory else None,
            gpu=stage.gpu_request or None,
        ),
    )


def _does(stage: OldStage, route: str) -> Batch | Service:
    if stage.service is not None:
        return _service(stage.service, route)
    if stage.batch is None:
        return Batch()
    limit = stage.batch.max_completion_time_seconds
    return Batch(timeout=float(limit) if limit else None, retries=stage.batch.retries or 0)


def _service(form: OldService, route: str) -> Service:
    return Service(
        port=form.port,
        replicas=form.replicas or 1,
        startup_timeout=float(form.max_startup_time_seconds or Service(port=form.port).startup_timeout),
        route=route if form.ingress else None,
    )


def _hosts(name: str, labels: Mapping[str, str], project: str) -> tuple[str, ...]:
    """`stage-4` and `PROJECT--stage-4`; the first of several that would be `stage-4` has these names."""
    plain, mine = host_label(name), labels[name]
    taken = plain != mine and (plain in labels.values() or not plain[0].isdigit())
    host = mine if taken else plain
    return (host, f"{project}--{host}")


def _twin(stage: Stage, stages: Mapping[str, Stage]) -> Stage:
    """A copy of a stage under a name of its own: the old forms let a workflow's stage handle failures."""
    labels = {other.object_name for other in stages.values()}
    name = f"{stage.name}-on-failure"
    while name in stages or label(name) in labels:
        name += "-2"
    return replace(stage, name=name, object_name=label(name), after=frozenset())


def _python(image: str | None) -> tuple[str, str | None]:
    """The Python version that an image stands for, and the image where it is not bodywork's own.

    `bodywork-core:3.0.12` and `latest` had Python 3.9, `2.1.7` and `v2.1.7` had 3.8. An official
    `python:3.10-slim` says it itself; one that is too old for us stands for the oldest that is not.
    """
    name, _, tag = (image or "bodywork-core").strip().partition("@")[0].rpartition("/")[2].partition(":")
    if name == "python" and (said := re.match(r"3\.(\d+)", tag)):
        return f"3.{max(int(said[1]), 8)}", image
    if name != "bodywork-core":
        return PYTHON, image
    major = tag.removeprefix("v").partition(".")[0]
    return (PYTHON_OF_2 if major in ("0", "1", "2") else PYTHON), None
