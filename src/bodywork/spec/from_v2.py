"""The native form -> the model."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType

from bodywork.spec import from_kubernetes, from_notify, order
from bodywork.spec.check import Keys, check
from bodywork.spec.model import (
    Autoscale,
    Batch,
    Input,
    Missed,
    Output,
    Overlap,
    Project,
    Requirements,
    Resources,
    Schedule,
    SecretVariable,
    Service,
    Stage,
)
from bodywork.spec.names import LONGEST, is_stage_name, label, unique_labels
from bodywork.spec.paths import tidy
from bodywork.spec.report import Report
from bodywork.spec.shape import fit
from bodywork.spec.tree import quote
from bodywork.spec.v2 import STAND_INS, ProjectForm, ScheduleForm, StageForm

RULE = 'a stage\'s name has only lower-case letters, digits, "-" and "_", and begins with a letter'


def read(report: Report, files: Collection[str] | None) -> Project:
    """The project of a native file; what is wrong with it is in the report.

    `files` are the paths below the project's folder; None: not known.
    """
    form = fit(ProjectForm, report, STAND_INS, lenient=False)
    _check_names(report, form)
    labels = unique_labels(form.stages)
    stages = {name: _stage(form, name, labels[name]) for name in form.stages}
    ordered = order.arrange(
        report,
        stages,
        text=form.workflow,
        waits={name: stage.after for name, stage in form.stages.items() if stage.after is not None},
        aside=form.on_failure,
    )
    for name in ordered.unused:
        message = "no step of the workflow names this stage: add it to `workflow`, or remove it"
        report.error(("stages", name), message, key=True)
    project = Project(
        name=form.name,
        object_name=label(form.name, "project"),
        version="2",
        stages=ordered.stages,
        steps=ordered.steps,
        unused=ordered.unused,
        on_failure=order.stand_by(report, stages, form.on_failure, ("on_failure",)),
        schedule=read_schedule(form.schedule) if form.schedule else None,
        store=form.store,
        notify=from_notify.webhooks(form.notify, report),
        resolve=form.resolve,
        cluster=from_kubernetes.cluster(form.kubernetes, report),
    )
    _check_placements(report, form)
    _check_schedule(report, project.schedule)
    keys = Keys(run=dict.fromkeys(stages, "run"), on_failure=("on_failure",), strict=True)
    check(project, report, keys, files, stages)
    return project


def _stage(project: ProjectForm, name: str, object_name: str) -> Stage:
    form = project.stages[name]
    service = form.service
    return Stage(
        name=name,
        object_name=object_name,
        run=tidy(form.run),
        args=tuple(form.args or ()),
        python=form.python or project.python,
        image=form.image or project.image,
        requirements=_requirements(form),
        env=MappingProxyType(dict(form.env or {})),
        secrets=tuple(
            SecretVariable(variable=key, secret=secret) for key, secret in (form.secrets or {}).items()
        ),
        resources=_resources(form),
        outputs=tuple(Output(name=key, file=file) for key, file in (form.outputs or {}).items()),
        inputs=tuple(_input(key, source) for key, source in (form.inputs or {}).items()),
        does=_batch(form) if service is None else _service(form),
        host_names=() if service is None else (object_name, f"{project.name}--{object_name}"),
        placement=from_kubernetes.placement(project.kubernetes, form.kubernetes),
    )


def read_schedule(asked: ScheduleForm) -> Schedule:
    """The rule of a schedule, as a file or the options of a command give it."""
    return Schedule(
        cron=asked.cron,
        timezone=asked.timezone,
        overlap=Overlap(asked.overlap),
        missed=Missed(asked.missed),
        deadline=asked.deadline,
        keep=asked.keep,
        on_push=asked.on_push,
    )


def _check_schedule(report: Report, schedule: Schedule | None) -> None:
    path = ("schedule",)
    told = any(report.broken((*path, key)) for key in ("cron", "on_push"))
    if schedule and not schedule.cron and not schedule.on_push and not told:
        report.error(path, "a schedule needs `cron` or `on_push`, or both", key=True)


def _requirements(form: StageForm) -> Requirements:
    if isinstance(form.requirements, str):
        return Requirements(file=tidy(form.requirements))
    return Requirements(packages=tuple(form.requirements or ()))


def _resources(form: StageForm) -> Resources:
    asked = form.resources
    return Resources(cpu=asked.cpu, memory=asked.memory, gpu=asked.gpu) if asked else Resources()


def _input(name: str, source: str) -> Input:
    stage, _, output = source.rpartition(".")
    return Input(name=name, stage=stage, output=output)


def _batch(form: StageForm) -> Batch:
    return Batch(timeout=form.batch.timeout, retries=form.batch.retries) if form.batch else Batch()


def _service(form: StageForm) -> Service:
    asked = form.service
    assert asked is not None
    return Service(
        port=asked.port,
        replicas=asked.replicas,
        startup_timeout=asked.startup_timeout,
        health=asked.health,
        route=asked.route,
        autoscale=Autoscale(max=grows.max, cpu=grows.cpu) if (grows := asked.autoscale) else None,
    )


def _check_placements(report: Report, form: ProjectForm) -> None:
    from_kubernetes.check_placement(form.kubernetes, (from_kubernetes.KEY,), report)
    for name, stage in form.stages.items():
        path = ("stages", name, from_kubernetes.KEY)
        from_kubernetes.check_placement(stage.kubernetes, path, report)


def _check_names(report: Report, form: ProjectForm) -> None:
    if not form.stages and not report.broken(("stages",)):
        report.error(("stages",), "there is no stage: write at least one", key=True)
    made: dict[str, str] = {}
    for name in form.stages:
        path = ("stages", name)
        if len(name) > LONGEST:
            report.error(path, f"this name has {len(name)} characters, {LONGEST} is the most", key=True)
        elif not is_stage_name(name):
            report.error(path, f"{RULE} (did you mean {quote(label(name))}?)", key=True)
        elif (other := made.setdefault(label(name), name)) != name:
            both = f"both become {quote(label(name))} in Kubernetes"
            report.error(path, f"too like {quote(other)}: {both}", key=True)
