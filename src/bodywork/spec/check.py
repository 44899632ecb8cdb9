"""What can be wrong between the parts of a project, and between it and its folder.

Works on the model, whatever form it was read from; `Keys` says what the form calls things.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bodywork.spec import paths, workflow
from bodywork.spec.model import Kind, Project, Service, Stage
from bodywork.spec.report import Report, did_you_mean
from bodywork.spec.tree import Path, quote

MODULES = (".py", ".ipynb")
REQUIREMENTS = (".txt", ".in")
LONGEST_HOST = 63


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Where a form keeps what is checked here. `strict`: the native form."""

    run: Mapping[str, str]
    on_failure: Path
    strict: bool


def check(
    project: Project,
    report: Report,
    keys: Keys,
    files: Collection[str] | None,
    known: Mapping[str, Stage],
) -> None:
    """Tell the report what is wrong. `files`: those of the project's folder; None: not known.

    `known` are all stages of the file by name.
    """
    present = None if files is None else frozenset(files)
    for stage in known.values():
        if stage.name in project.unused and not keys.strict:
            continue
        _module(stage, report, keys, present)
        _requirements(stage, report, present)
    if keys.strict:
        for stage in known.values():
            _kinds(stage, report)
            _variables(stage, report)
            _hosts(project, stage, report)
            _autoscale(stage, report)
        _artifacts(project, report, known)
        _routes(report, known)
    _on_failure(project, report, keys, known)


def _module(stage: Stage, report: Report, keys: Keys, files: frozenset[str] | None) -> None:
    path = ("stages", stage.name, keys.run[stage.name])
    run, known = stage.run, files or frozenset()
    if fault := paths.fault(run):
        report.error(path, fault)
    elif inside := sorted(file for file in known if file.startswith(f"{run}/")):
        modules = [file for file in inside if file.endswith(MODULES)]
        report.error(
            path, f"{quote(run)} is a folder" + (f" (did you mean {quote(modules[0])}?)" if modules else "")
        )
    elif not run.endswith(MODULES) and (keys.strict or run not in known):
        meant = [
            file for file in (f"{run}.py", f"{run.replace('.', '/')}.py", f"{run}.ipynb") if file in known
        ]
        hint = f" (did you mean {quote(meant[0])}?)" if meant else ""
        report.error(path, f"{quote(run)} must be a module that ends with .py or .ipynb{hint}")
    elif files is not None and run not in files:
        report.error(path, f"no file {quote(run)} in the project{paths.like(run, files)}")


def _requirements(stage: Stage, report: Report, files: frozenset[str] | None) -> None:
    file = stage.requirements.file
    path = ("stages", stage.name, "requirements")
    if file is None:
        return
    name = posixpath.basename(file)
    if fault := paths.fault(file):
        report.error(path, fault)
    elif not _is_requirements_file(name):
        report.error(
            path,
            f"{quote(file)} must be a requirements.txt, pyproject.toml, uv.lock or pylock.toml"
            ", or packages as a list",
        )
    elif files is not None and file not in files:
        report.error(path, f"no file {quote(file)} in the project{paths.like(file, files)}")
    elif files is not None and name == "uv.lock" and f"{file[: -len(name)]}pyproject.toml" not in files:
        report.error(path, f"{quote(file)} needs the pyproject.toml it was made from beside it")


def _is_requirements_file(name: str) -> bool:
    pylock = name.startswith("pylock.") and name.endswith(".toml")
    return name.endswith(REQUIREMENTS) or name in ("pyproject.toml", "uv.lock") or pylock


def _kinds(stage: Stage, report: Report) -> None:
    node = report.root.below("stages")
    written = node.below(stage.name) if node else None
    if written and written.below("batch") and written.below("service"):
        message = "a stage is either `batch` or `service`: remove one of them"
        report.error(("stages", stage.name, "service"), message, key=True)


def _variables(stage: Stage, report: Report) -> None:
    for secret in stage.secrets:
        if secret.variable in stage.env:
            message = "this variable is in `env` too: remove one of them"
            report.error(("stages", stage.name, "secrets", secret.variable), message, key=True)
    for key, names in (("outputs", stage.outputs), ("inputs", stage.inputs)):
        made: dict[str, str] = {}
        for item in names:
            variable = item.name.upper().replace("-", "_")
            if (other := made.setdefault(variable, item.name)) != item.name:
                message = f"too like {quote(other)}: both become BODYWORK_{key.upper()[:-1]}_{variable}"
                report.error(("stages", stage.name, key, item.name), message, key=True)


def _hosts(project: Project, stage: Stage, report: Report) -> None:
    for host in stage.host_names:
        if len(host) > LONGEST_HOST and not report.broken(("name",)):
            message = f"its host name {quote(host)} has {len(host)} characters, {LONGEST_HOST} is the most"
            hint = "shorten the name of the stage or of the project"
            report.error(("stages", stage.name), f"{message}: {hint}", key=True)


def _autoscale(stage: Stage, report: Report) -> None:
    grows = stage.does.autoscale if isinstance(stage.does, Service) else None
    if grows and grows.max < stage.service.replicas:
        path = ("stages", stage.name, "service", "autoscale", "max")
        report.error(
            path, f"{grows.max} is less than `replicas`, of which there are {stage.service.replicas}"
        )


def _artifacts(project: Project, report: Report, known: Mapping[str, Stage]) -> None:
    waits = {stage.name: stage.after for stage in project.stages}
    for stage in known.values():
        earlier = workflow.upstream(stage.name, waits) if stage.inputs else frozenset()
        for item in stage.inputs:
            path = ("stages", stage.name, "inputs", item.name)
            maker = known.get(item.stage)
            if maker is None:
                report.error(path, f"unknown stage {quote(item.stage)}{did_you_mean(item.stage, known)}")
                continue
            outputs = [output.name for output in maker.outputs]
            if item.output not in outputs:
                if not report.broken(("stages", maker.name, "outputs")):
                    report.error(path, _no_output(maker.name, item.output, outputs))
            elif item.stage not in earlier and stage.name in waits:
                report.error(path, f"stage {quote(item.stage)} does not run before {quote(stage.name)}")


def _no_output(stage: str, output: str, outputs: list[str]) -> str:
    if not outputs:
        return f"stage {quote(stage)} has no outputs: declare {quote(output)} there"
    return f"stage {quote(stage)} has no output {quote(output)}{did_you_mean(output, outputs)}"


def _routes(report: Report, known: Mapping[str, Stage]) -> None:
    taken: dict[str, str] = {}
    for stage in known.values():
        route = stage.does.route if isinstance(stage.does, Service) else None
        if route and (other := taken.setdefault(route.rstrip("/"), stage.name)) != stage.name:
            path = ("stages", stage.name, "service", "route")
            report.error(path, f"{quote(route)} is the route of stage {quote(other)} already")


def _on_failure(project: Project, report: Report, keys: Keys, known: Mapping[str, Stage]) -> None:
    stage = project.on_failure
    if stage is None:
        return
    if stage.kind is Kind.SERVICE:
        report.error(keys.on_failure, f"stage {quote(stage.name)} is a service: it must be a batch stage")
    if not keys.strict:
        return
    if any(stage.name in step for step in project.steps):
        report.error(keys.on_failure, f"stage {quote(stage.name)} is in the workflow too: remove it there")
    if stage.inputs:
        report.error(("stages", stage.name, "inputs"), "a stage of `on_failure` can have no inputs", key=True)
