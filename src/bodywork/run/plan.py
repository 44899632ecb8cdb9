"""What a run would do, decided before anything is done: spec + commit + what is there -> Plan."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from bodywork.errors import NotFoundError, UsageError
from bodywork.run.fingerprint import difference, fingerprint, parts_of
from bodywork.run.graph import narrowed, nearest_upstream
from bodywork.spec.model import Kind, Project, Stage


class Action(StrEnum):
    """What a run does with a stage.

    run: start a batch stage. add: a service that is not there yet. replace: roll a service out
    anew. decide: a service whose inputs are made by this run; it is replaced if they changed.
    keep: leave a service alone.
    """

    RUN = "run"
    ADD = "add"
    REPLACE = "replace"
    DECIDE = "decide"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which files a run works on.

    `repository` is what the user named, without credentials; `commit` has 40 hexadecimal digits;
    `file` is the path of bodywork.yaml in the repository; `folder` is its folder there ("" for
    the root); `files` is a digest of all files of that folder but bodywork.yaml itself.
    """

    repository: str
    ref: str
    commit: str
    file: str
    folder: str
    files: str


@dataclass(frozen=True, kw_only=True)
class ObservedService:
    """A service as the target has it now.

    `fingerprint` and `parts` are those it was planned with; `inputs` are the digests of what it
    reads, by input name; `release` is the run that rolled it out; `url` answers from this machine.
    """

    name: str
    fingerprint: str
    inputs: Mapping[str, str]
    release: str
    url: str
    ready: int
    replicas: int
    commit: str = ""
    reason: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage, what will be done with it and why.

    `environment` is the digest of the stage's lock. `fingerprint` (of files, packages and
    settings) tells whether a service is the one that already runs; the digests of its inputs
    come on top when they are known. `parts` are the digests that it is made of (files, packages,
    settings), so that a later plan can say what changed. `inputs` holds digests known before the
    run (`--only`, rollback), keyed by input name.
    """

    stage: Stage
    action: Action
    reason: str
    environment: str
    fingerprint: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A service that will be removed once the run has succeeded, and why."""

    service: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of a run, in the order of the workflow; plain data that can be shown, stored and replayed.

    `date` is the day (YYYY-MM-DD) that stages find in BODYWORK_DATE; None: they find none.
    """

    run: str
    target: str
    project: Project
    source: Source
    stages: tuple[PlannedStage, ...]
    on_failure: PlannedStage | None = None
    removals: tuple[Removal, ...] = ()
    date: str | None = None

    @property
    def pipeline(self) -> str:
        return self.project.name

    @property
    def all_stages(self) -> tuple[PlannedStage, ...]:
        """The stages of the workflow and, last, the one of `on_failure`."""
        return self.stages if self.on_failure is None else (*self.stages, self.on_failure)

    def stage(self, name: str) -> PlannedStage:
        """The planned stage called `name`, `on_failure` included. Raises KeyError."""
        for planned in self.all_stages:
            if planned.stage.name == name:
                return planned
        raise KeyError(name)


def make_plan(
    *,
    run: str,
    target: str,
    project: Project,
    source: Source,
    environments: Mapping[str, str],
    observed: Mapping[str, ObservedService],
    only: frozenset[str] | None = None,
    known: Mapping[tuple[str, str], str] = MappingProxyType({}),
    outdated: Mapping[str, str] = MappingProxyType({}),
    date: str | None = None,
) -> Plan:
    """What a run of `project` would do with each stage, and why.

    `environments` are lock digests by stage name, `observed` is what the target has. With `only`,
    just these stages; what they read of others comes from `known`: digests of earlier runs, by
    stage and output. `outdated` are services that have to be replaced though nothing that a plan
    knows has changed, with the reason. Raises NotFoundError for a stage that is not there, UsageError for an
    input that nobody has made yet.
    """
    selected = _selected(project, only)
    batch = {stage.name for stage in selected if stage.kind is Kind.BATCH}
    upstream = nearest_upstream(project.stages, batch)
    made_here = {stage.name for stage in selected}

    def planned(stage: Stage, reason: str) -> PlannedStage:
        parts = parts_of(stage, project, source.files, environments[stage.name])
        return PlannedStage(
            stage=stage,
            action=Action.RUN,
            reason=reason,
            environment=environments[stage.name],
            fingerprint=fingerprint(parts),
            inputs={
                wanted.name: digest
                for wanted in stage.inputs
                if wanted.stage not in made_here and (digest := known.get((wanted.stage, wanted.output)))
            },
            parts=parts,
        )

    stages = []
    for stage in selected:
        item = planned(stage, "batch stages run every time")
        _check_inputs(item, made_here)
        if stage.kind is Kind.SERVICE:
            item = _decided(item, observed.get(stage.name), upstream.get(stage.name))
            item = _renewed(item, outdated.get(stage.name))
        stages.append(item)
    on_failure = project.on_failure
    return Plan(
        run=run,
        target=target,
        project=project,
        source=source,
        stages=tuple(stages),
        on_failure=planned(on_failure, "runs if the run fails") if on_failure else None,
        removals=() if only is not None else _removals(project, observed, "the workflow no longer names it"),
        date=date,
    )


def rollback_plan(
    *,
    run: str,
    target: str,
    release: Plan,
    inputs: Mapping[str, Mapping[str, str]],
    observed: Mapping[str, ObservedService],
) -> Plan:
    """How to make the services of an earlier run current again, with the inputs they had then.

    `inputs` are digests by service and input name. No batch stage runs. Raises UsageError when
    the inputs of a service are not known.
    """
    old = {planned.stage.name: planned for planned in release.stages}
    services = {name for name, planned in old.items() if planned.stage.kind is Kind.SERVICE}
    stages = []
    for stage in narrowed([planned.stage for planned in release.stages], services):
        item = replace(old[stage.name], stage=stage, inputs=_inputs_then(stage, release.run, inputs))
        stages.append(_decided(item, observed.get(stage.name), None))
    return Plan(
        run=run,
        target=target,
        project=release.project,
        source=release.source,
        stages=tuple(stages),
        removals=_removals(release.project, observed, f"run {release.run} did not have it"),
        date=release.date,
    )


def decided_at_last(
    planned: PlannedStage, observed: ObservedService | None, inputs: Mapping[str, str]
) -> tuple[Action, str]:
    """What to do with a service once all digests of its `inputs` are known, and why."""
    if observed is None:
        return Action.ADD, "not deployed yet"
    if observed.fingerprint != planned.fingerprint:
        return Action.REPLACE, difference(planned.parts, observed.parts)
    if dict(observed.inputs) != dict(inputs):
        changed = [
            f"{i.stage}.{i.output}"
            for i in planned.stage.inputs
            if observed.inputs.get(i.name) != inputs.get(i.name)
        ]
        return Action.REPLACE, f"{_listed(changed, 'and') or 'what it reads'} changed"
    if not observed.ready:
        return Action.REPLACE, f"none of its replicas is ready{observed.reason and f': {observed.reason}'}"
    return Action.KEEP, "same files, packages, settings and inputs"


def _decided(planned: PlannedStage, observed: ObservedService | None, upstream: str | None) -> PlannedStage:
    """A service with its action; `upstream` is a batch stage of this run that it comes after."""
    open_inputs = [i for i in planned.stage.inputs if i.name not in planned.inputs]
    held = planned.inputs if not open_inputs or observed is None else observed.inputs
    action, reason = decided_at_last(planned, observed, held)
    if action is Action.KEEP and open_inputs:
        made = _listed([f"{i.stage}.{i.output}" for i in open_inputs], "or")
        action, reason = Action.DECIDE, f"replaced if {made} changes"
    elif action is Action.KEEP and upstream and not planned.stage.inputs:
        action, reason = Action.REPLACE, f"after batch stage {upstream} has run"
    return replace(planned, action=action, reason=reason)


def _renewed(planned: PlannedStage, why: str | None) -> PlannedStage:
    """The same service, replaced for `why` if it would be left alone otherwise."""
    left_alone = planned.action in (Action.KEEP, Action.DECIDE)
    return replace(planned, action=Action.REPLACE, reason=why) if why and left_alone else planned


def _selected(project: Project, only: frozenset[str] | None) -> tuple[Stage, ...]:
    if only is None:
        return project.stages
    names = [stage.name for stage in project.stages]
    for name in sorted(only.difference(names)):
        near = difflib.get_close_matches(name, names, n=1)
        raise NotFoundError(
            f"the workflow of {project.name} has no stage {name}"
            + (f" (did you mean {near[0]}?)" if near else ""),
            hint=f"its stages: {', '.join(names)}",
        )
    return tuple(narrowed(project.stages, only))


def _check_inputs(planned: PlannedStage, made_here: set[str]) -> None:
    """Whatever the stage reads is made by this run or was made by an earlier one."""
    reader = planned.stage.name
    for wanted in planned.stage.inputs:
        if wanted.stage not in made_here and wanted.name not in planned.inputs:
            raise UsageError(
                f"stage {reader} reads {wanted.stage}.{wanted.output}, which no run has made yet",
                hint=f"run {wanted.stage} first, or together with {reader}",
            )


def _inputs_then(stage: Stage, run: str, inputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    then = dict(inputs.get(stage.name, {}))
    missing = [wanted.name for wanted in stage.inputs if wanted.name not in then]
    if missing:
        raise UsageError(
            f"run {run} left no record of what service {stage.name} read as {_listed(missing, 'and')}",
            hint="deploy its commit anew: bodywork deploy --ref COMMIT",
        )
    return then


def _removals(project: Project, observed: Mapping[str, ObservedService], why: str) -> tuple[Removal, ...]:
    services = {stage.name for stage in project.stages if stage.kind is Kind.SERVICE}
    return tuple(Removal(service=name, reason=why) for name in sorted(set(observed) - services))


def _listed(names: Sequence[str], word: str) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names or ("",)
    return f"{', '.join(first)} {word} {last}" if first else last
