"""Whatever the bytes: a project that holds together, or a SpecError that says where and what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bodywork.errors import SpecError
from bodywork.spec import workflow
from bodywork.spec.model import Project
from bodywork.spec.names import is_label
from bodywork.spec.read import read

BROKEN = sorted((Path(__file__).parents[2] / "data" / "broken").glob("*.yaml"))
FILES = ("a.py", "b.py", "report.ipynb", "requirements.txt")

WORDS = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "a_b",
        "a-b",
        "Train",
        "1st",
        "a >> b",
        "a, b >> c",
        "a.py",
        "b.py",
        "../a.py",
        "2",
        "x.y",
    ]
)
KEYS = st.sampled_from(
    [
        *("version", "name", "python", "workflow", "on_failure", "schedule", "store", "resolve", "stages"),
        *("project", "pipeline", "DAG", "docker_image", "logging", "log_level", "run_on_failure"),
        *("run", "args", "env", "secrets", "resources", "inputs", "outputs", "after", "batch", "service"),
        *("executable_module_path", "executable_module", "cpu_request", "memory_request_mb", "requirements"),
        *(
            "port",
            "replicas",
            "ingress",
            "retries",
            "timeout",
            "cron",
            "a",
            "b",
            "c",
            "[key]",
            "packages",
            "file",
        ),
    ]
)
SCALARS = st.one_of(WORDS, st.none(), st.booleans(), st.integers(-5, 70000), st.floats(), st.text(max_size=5))
CALM = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
TREES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=6)),
    max_leaves=25,
)


def try_to_read(data: bytes) -> Project | None:
    try:
        project, warnings = read(data, file="bodywork.yaml", files=FILES)
    except SpecError as error:
        assert any(not problem.warning for problem in error.problems)
        places = [(problem.line, problem.column) for problem in error.problems]
        assert places == sorted(places)
        assert all("\n" not in str(problem) for problem in error.problems)
        str(error).encode()
        return None
    assert all(problem.warning for problem in warnings)
    holds_together(project)
    return project


def holds_together(project: Project) -> None:
    """What everything that works with a project relies on."""
    names = [stage.name for stage in project.stages]
    assert names == [name for step in project.steps for name in step]
    assert len(set(names)) == len(names) > 0
    assert all(project.steps)
    place = {name: number for number, step in enumerate(project.steps) for name in step}
    for stage in project.stages:
        assert all(place[other] < place[stage.name] for other in stage.after)
        assert all(item.stage in workflow.upstream(stage.name, waits(project)) for item in stage.inputs)
    every = [*project.stages, *([project.on_failure] if project.on_failure else [])]
    assert len({stage.object_name for stage in every}) == len({stage.name for stage in every}) == len(every)
    assert all(is_label(stage.object_name) for stage in every)
    assert is_label(project.object_name)
    for stage in every:
        assert bool(stage.host_names) == (stage.kind == "service")
        assert not (stage.requirements.file and stage.requirements.packages)
        assert stage.run in FILES
    assert not set(project.unused) & set(names)
    hosts = [host for stage in every for host in stage.host_names]
    assert len(set(hosts)) == len(hosts)


def waits(project: Project) -> dict[str, frozenset[str]]:
    return {stage.name: stage.after for stage in project.stages}


@CALM
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try_to_read(data)


@CALM
@given(st.text(alphabet="abc:-[]{}>&*!|'\"#%@`, \n\t0.1~<?", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try_to_read(f'version: "2"\nname: x\nstages:\n  {text}'.encode())


@CALM
@given(st.sampled_from(["2", "1.0", "1.1"]), st.dictionaries(KEYS, TREES, max_size=8))
def test_any_tree_is_read_or_refused(version: str, tree: dict[str, Any]) -> None:
    try_to_read(yaml.safe_dump({**tree, "version": version}, allow_unicode=True).encode())


@st.composite
def native(draw: st.DrawFn) -> dict[str, Any]:
    """Trees that are nearly right."""
    names = draw(st.lists(st.sampled_from(["a", "b", "c", "d_e", "f"]), min_size=1, max_size=5, unique=True))
    stages = {name: draw(native_stage(names)) for name in names}
    project: dict[str, Any] = {"version": "2", "name": "x", "stages": stages}
    if draw(st.booleans()):
        project["workflow"] = draw(st.sampled_from([" >> ".join(names), ", ".join(names)]))
    if draw(st.booleans()):
        project["on_failure"] = draw(st.sampled_from(names))
    return project


@st.composite
def native_stage(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    stage: dict[str, Any] = {"run": draw(st.sampled_from(["a.py", "b.py", "report.ipynb"]))}
    if draw(st.booleans()):
        stage["service"] = {"port": draw(st.integers(1, 65535))}
    if draw(st.booleans()):
        stage["outputs"] = {"model": "model.bin"}
    if draw(st.integers(0, 3)) == 0:
        stage["inputs"] = {"model": f"{draw(st.sampled_from(names))}.model"}
    if draw(st.integers(0, 3)) == 0:
        stage["after"] = draw(st.lists(st.sampled_from(names), max_size=2))
    return stage


@CALM
@given(native())
def test_what_reads_holds_together_in_the_native_form(tree: dict[str, Any]) -> None:
    try_to_read(yaml.safe_dump(tree).encode())


@CALM
@given(
    st.lists(
        st.sampled_from(["stage_4", "stage-4", "Stage.4", "4", "1-a", "s-1-a", "___", "x" * 70, "x" * 71]),
        min_size=1,
        max_size=9,
        unique=True,
    ),
    st.booleans(),
    st.data(),
)
def test_what_reads_holds_together_in_the_old_forms(
    names: list[str], parallel: bool, data: st.DataObject
) -> None:
    stage = {"executable_module_path": "a.py", "service": {"port": 5000, "ingress": True}}
    batch = {"executable_module_path": "b.py", "batch": {"retries": 1}}
    head = {
        "name": data.draw(st.sampled_from(["My_Project", "x", "1x"])),
        "DAG": (", " if parallel else " >> ").join(names),
    }
    if data.draw(st.booleans()):
        head["run_on_failure"] = names[0]
    stages = {name: stage if name != names[0] else batch for name in names}
    tree = {"version": "1.1", "project": head, "stages": stages}
    assert try_to_read(yaml.safe_dump(tree).encode()) is not None


@CALM
@given(st.sampled_from(BROKEN), st.data())
def test_broken_files_stay_refused_without_a_traceback_when_cut(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    try_to_read(whole[:start] + whole[end:])
