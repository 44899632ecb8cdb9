"""The examples as they lie in the repository: complete, valid, and free of what a run leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bodywork.spec.model import Kind, Project
from bodywork.spec.read import read

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["batch-job", "deploy-service", "notebook", "train-and-serve", "version-1.1"]


def files(name: str) -> set[str]:
    folder = EXAMPLES / name
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def project(name: str) -> Project:
    """The example's bodywork.yaml, checked against its files; there is nothing odd about it."""
    text = (EXAMPLES / name / "bodywork.yaml").read_bytes()
    found, problems = read(text, file=f"{name}/bodywork.yaml", files=files(name))
    assert problems == ()
    return found


def test_these_are_all_the_examples() -> None:
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_complete(name: str) -> None:
    found = project(name)
    assert found.version == ("1.1" if name == "version-1.1" else "2")
    assert {stage.run for stage in found.stages} <= files(name)
    assert {stage.requirements.file for stage in found.all_stages} - {None} <= files(name)
    assert found.unused == ()


@pytest.mark.parametrize("name", NAMES)
def test_its_readme_says_how_to_run_it(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    assert text.startswith(f"# {name}: ")
    assert f"    bodywork deploy . --file examples/{name}/bodywork.yaml" in text
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 110
    called = set(re.findall(r"bodywork (?:status|logs|delete) ([\w-]+)", text))
    assert called == {project(name).name}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_has_no_leftovers(name: str) -> None:
    folder = EXAMPLES / name
    assert sum((folder / path).stat().st_size for path in files(name)) < 50_000
    kinds = {Path(path).suffix for path in files(name)}
    assert kinds <= {".py", ".ipynb", ".md", ".yaml", ".txt", ".csv", ".json"}


def test_no_module_knows_of_us() -> None:
    """Not one line has to be written for bodywork, but for the variables that name files and the run."""
    for path in EXAMPLES.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) bodywork", text, re.MULTILINE), path
        compile(text, str(path), "exec")
    for path in (EXAMPLES / "version-1.1").rglob("*.py"):
        assert "BODYWORK" not in path.read_text(), path


def test_notebooks_have_no_outputs() -> None:
    notebooks = list(EXAMPLES.rglob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        notebook = json.loads(path.read_text())
        assert notebook["nbformat"] == 4
        for cell in notebook["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


def test_train_and_serve_trains_two_models_at_the_same_time() -> None:
    found = project("train-and-serve")
    assert found.steps == (("prepare",), ("train_logistic", "train_forest"), ("choose",), ("serve",))
    assert found.stage("serve").service.replicas == 2
    assert found.stage("serve").service.health == "/health"


def test_the_old_project_has_two_services_of_one_port_with_two_replicas() -> None:
    found = project("version-1.1")
    services = [stage for stage in found.stages if stage.kind is Kind.SERVICE]
    assert [(stage.service.port, stage.service.replicas) for stage in services] == [(5000, 2), (5000, 2)]
    caller = (EXAMPLES / "version-1.1" / "web" / "service.py").read_text()
    assert any(f'"http://{host}:5000/' in caller for host in services[0].host_names)
    assert found.stage("check_model").python == "3.9"
