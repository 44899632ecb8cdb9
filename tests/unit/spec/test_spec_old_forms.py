"""Files of 2021-22: taken as their own tool took them, oddities and all."""

from __future__ import annotations

import pytest

from bodywork.errors import SpecError
from bodywork.spec.model import Batch, Project, Requirements, Resources, SecretVariable, Service, Stage
from bodywork.spec.read import read

FILES = ["stage_1/train_model.py", "stage_2/serve_model.py", "tell.py"]

OLD = """\
version: "1.1"
pipeline:
  name: ml-pipeline
  docker_image: bodyworkml/bodywork-core:3.0
  DAG: stage_1 >> stage_2
  usage_stats: false
  run_on_failure: on-error
  secrets_group: dev
stages:
  stage_1:
    executable_module_path: stage_1/train_model.py
    args: ["--days", 7]
    requirements:
      - boto3==1.21.14
      - "scikit-learn == 1.0.2"
      - numpy
      - uvicorn[standard]
      - git+https://example.org/team/tools.git@v1
      - ""
    secrets: {AWS_ACCESS_KEY_ID: aws-credentials}
    cpu_request: 0.5
    memory_request_mb: 100
    batch:
      max_completion_time_seconds: 60
      retries: 2
  stage_2:
    executable_module_path: stage_2/serve_model.py
    requirements: []
    cpu_request: 1
    memory_request_mb: 250
    service:
      max_startup_time_seconds: 30
      replicas: 2
      port: 5000
      ingress: true
  on-error:
    executable_module_path: tell.py
    batch: {max_completion_time_seconds: 30, retries: 1}
logging:
  log_level: INFO
"""


def project_of(text: str, *warnings: str) -> Project:
    project, found = read(text.encode(), file="bodywork.yaml", files=FILES)
    assert [str(warning) for warning in found] == list(warnings)
    return project


def test_a_whole_file() -> None:
    project = project_of(OLD)
    assert (project.name, project.version, project.steps) == (
        "ml-pipeline",
        "1.1",
        (("stage_1",), ("stage_2",)),
    )
    assert (project.setuptools, project.secrets_group, project.log_level) == (True, "dev", "INFO")
    assert project.unused == ()
    assert project.on_failure is not None
    assert (project.on_failure.name, project.on_failure.does) == ("on-error", Batch(timeout=30.0, retries=1))
    first, second = project.stages
    assert first == Stage(
        name="stage_1",
        object_name="stage-1",
        run="stage_1/train_model.py",
        args=("--days", "7"),
        python="3.9",
        requirements=Requirements(
            packages=(
                "boto3==1.21.14",
                "scikit-learn == 1.0.2",
                "numpy",
                "uvicorn[standard]",
                "git+https://example.org/team/tools.git@v1",
            )
        ),
        secrets=(SecretVariable(variable="AWS_ACCESS_KEY_ID", secret="aws-credentials"),),
        resources=Resources(cpu=0.5, memory=100_000_000),
        does=Batch(timeout=60.0, retries=2),
    )
    assert second.after == {"stage_1"}
    assert second.service == Service(
        port=5000, replicas=2, startup_timeout=30.0, route="/ml-pipeline/stage-2"
    )
    assert second.host_names == ("stage-2", "ml-pipeline--stage-2")


def test_project_and_pipeline_are_found_under_either_version() -> None:
    for version in ("1.0", "1.1"):
        for key in ("project", "pipeline"):
            text = OLD.replace('"1.1"', f'"{version}"').replace("pipeline:\n", f"{key}:\n", 1)
            assert project_of(text).version == version


def test_windows_line_ends_and_no_last_one() -> None:
    assert project_of(OLD.replace("\n", "\r\n").strip()) == project_of(OLD)


@pytest.mark.parametrize(
    ("image", "python", "kept"),
    [
        ("bodyworkml/bodywork-core:3.0", "3.9", None),
        ("bodyworkml/bodywork-core:3.0.12", "3.9", None),
        ("bodyworkml/bodywork-core:3.0.0rc2", "3.9", None),
        ("bodyworkml/bodywork-core:latest", "3.9", None),
        ("bodyworkml/bodywork-core", "3.9", None),
        ("bodyworkml/bodywork-core:2.1.7", "3.8", None),
        ("bodyworkml/bodywork-core:v2.1.7", "3.8", None),
        ("registry.example.org:5000/team/ml:1.2", "3.9", "registry.example.org:5000/team/ml:1.2"),
        ("python:3.8-slim", "3.8", "python:3.8-slim"),
        ("docker.example.org/library/python:3.10.4", "3.10", "docker.example.org/library/python:3.10.4"),
        ("python:3.7", "3.8", "python:3.7"),
        ("python:3-alpine", "3.9", "python:3-alpine"),
        ("team/python:1.3", "3.9", "team/python:1.3"),
    ],
)
def test_the_image_tells_the_python_version(image: str, python: str, kept: str | None) -> None:
    stage = project_of(OLD.replace("bodyworkml/bodywork-core:3.0", image)).stages[0]
    assert (stage.python, stage.image) == (python, kept)


def test_blanks_and_line_ends_anywhere_in_the_DAG() -> None:
    text = OLD.replace("DAG: stage_1 >> stage_2", "DAG: >\n    stage_1>>\n      stage_2 ,\n    on-error")
    text = text.replace("  run_on_failure: on-error\n", "")
    assert project_of(text).steps == (("stage_1",), ("stage_2", "on-error"))


def test_stages_that_the_DAG_does_not_name_are_not_run_and_not_checked() -> None:
    text = OLD.replace("stage_1 >> stage_2", "stage_2").replace("stage_1/train_model.py", "gone.py")
    project = project_of(text)
    assert project.unused == ("stage_1",)
    assert [stage.name for stage in project.stages] == ["stage_2"]


def test_unknown_keys_are_warnings_with_a_suggestion() -> None:
    text = OLD.replace("secrets_group: dev", "secrets-group: dev").replace(
        "    memory_request_mb: 250\n", "    memory_request_md: 250\n    replicas: 2\n"
    )
    project = project_of(
        text + "colour: blue\n",
        'bodywork.yaml:8:3: pipeline.secrets-group: unknown key, ignored (did you mean "secrets_group"?)',
        "bodywork.yaml:30:5: stages.stage_2.memory_request_md: unknown key, ignored"
        ' (did you mean "memory_request_mb"?)',
        "bodywork.yaml:31:5: stages.stage_2.replicas: unknown key, ignored"
        ' (did you mean "service.replicas"?)',
        "bodywork.yaml:42:1: colour: unknown key, ignored; expected one of"
        " version, project, pipeline, stages, logging",
    )
    assert project.secrets_group is None


def test_the_older_key_of_the_module() -> None:
    assert project_of(OLD.replace("executable_module_path", "executable_module")) == project_of(OLD)


def test_an_unquoted_version_and_a_key_written_twice_are_warnings() -> None:
    project = project_of(
        OLD.replace('"1.1"', "1.1").replace(
            "    cpu_request: 1\n", "    cpu_request: 1\n    cpu_request: 2\n"
        ),
        'bodywork.yaml:1:10: version: write "1.1" in quotes',
        "bodywork.yaml:30:5: stages.stage_2.cpu_request: duplicate key (first in line 29)",
    )
    assert project.stage("stage_2").resources.cpu == 2.0


def test_numbers_as_text_words_for_yes_and_empty_values() -> None:
    text = (
        OLD.replace("port: 5000", 'port: "5000"')
        .replace("ingress: true", "ingress: yes")
        .replace("memory_request_mb: 250", 'memory_request_mb: "250"')
        .replace("requirements: []", "requirements:")
        .replace('args: ["--days", 7]', "args:")
    )
    project = project_of(text)
    assert project.stage("stage_2") == project_of(OLD).stage("stage_2")
    assert project.stage("stage_1").args == ()


def test_keys_that_may_be_left_out() -> None:
    text = """\
version: "1.0"
project: {name: x, DAG: a}
stages:
  a: {executable_module_path: tell.py}
"""
    (stage,) = project_of(text).stages
    assert stage == Stage(name="a", object_name="a", run="tell.py", python="3.9")


def names(*stages: str, project: str = "Proj_1", workflow: str | None = None) -> Project:
    head = f'version: "1.1"\nproject: {{name: {project}, DAG: "{workflow or ", ".join(stages)}"}}\nstages:\n'
    service = "{executable_module_path: tell.py, service: {port: 5000}}"
    return project_of(head + "".join(f'  "{name}": {service}\n' for name in stages))


def test_names_that_kubernetes_could_not_take() -> None:
    project = names("stage_4", "Serve.Model", "1-score")
    assert (project.name, project.object_name) == ("Proj_1", "proj-1")
    assert {stage.name: (stage.object_name, *stage.host_names) for stage in project.stages} == {
        "stage_4": ("stage-4", "stage-4", "proj-1--stage-4"),
        "Serve.Model": ("serve-model", "serve-model", "proj-1--serve-model"),
        "1-score": ("s-1-score", "1-score", "proj-1--1-score"),
    }


def test_a_project_whose_name_begins_with_a_digit_is_called_by_it() -> None:
    head = 'version: "1.1"\nproject: {name: "2021.Odd", DAG: serve}\nstages:\n'
    project = project_of(f"{head}  serve: {{executable_module_path: tell.py, service: {{port: 5000}}}}\n")
    assert project.object_name == "p-2021-odd"
    assert project.stages[0].host_names == ("serve", "2021-odd--serve")


def test_names_that_become_the_same_are_told_apart() -> None:
    project = names("stage_4", "stage.4", "stage-4")
    assert [stage.object_name for stage in project.stages] == ["stage-4-2", "stage-4-3", "stage-4"]
    hosts = [host for stage in project.stages for host in stage.host_names]
    assert len(set(hosts)) == 6
    assert project.stage("stage-4").host_names == ("stage-4", "proj-1--stage-4")


def test_names_that_are_too_long_are_cut_and_stay_apart() -> None:
    project = names("x" * 80 + "1", "x" * 80 + "2")
    first, second = (stage.object_name for stage in project.stages)
    assert first != second
    assert len(first) == len(second) == 63


def test_a_stage_of_the_workflow_may_handle_failures_too() -> None:
    project = project_of(OLD.replace("run_on_failure: on-error", "run_on_failure: stage_1"))
    assert project.on_failure is not None
    assert (project.on_failure.name, project.on_failure.run) == (
        "stage_1-on-failure",
        "stage_1/train_model.py",
    )
    assert project.unused == ("on-error",)


def test_requirements_that_pip_may_refuse_are_warnings() -> None:
    project = project_of(
        OLD.replace("- numpy", "- numpy=1.2"),
        'bodywork.yaml:14:7: stages.stage_1.requirements: "numpy=1.2" is not a requirement like numpy==2.1.0'
        ' or pandas[excel]>=2,<3 (did you mean "numpy==1.2"?)',
    )
    assert "numpy=1.2" in project.stages[0].requirements.packages


def test_a_file_of_the_folder_that_is_no_python_runs_as_it_did() -> None:
    text = OLD.replace("tell.py", "tell")
    project, warnings = read(text.encode(), file="bodywork.yaml", files=[*FILES, "tell"])
    assert project.on_failure is not None
    assert (project.on_failure.run, warnings) == ("tell", ())


def test_an_error_in_an_old_file_tells_its_warnings_too() -> None:
    text = OLD.replace("stage_1 >> stage_2", "stage_1 >> stage_3").replace("log_level", "loglevel")
    with pytest.raises(SpecError) as caught:
        project_of(text)
    assert [problem.warning for problem in caught.value.problems] == [False, True]
