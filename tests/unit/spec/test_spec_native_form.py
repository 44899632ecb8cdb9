"""The native form: what a file says is what the model has."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bodywork.spec.model import (
    Autoscale,
    Batch,
    Cache,
    Cluster,
    Input,
    Output,
    Placement,
    Project,
    Requirements,
    Resources,
    Schedule,
    SecretVariable,
    Service,
    Stage,
    Toleration,
)
from bodywork.spec.read import read


def project_of(text: str, files: list[str] | None = None) -> Project:
    project, warnings = read(text.encode(), file="bodywork.yaml", files=files)
    assert warnings == ()
    return project


WHOLE = """
version: "2"
name: iris
python: "3.12"
workflow: prepare >> train_a, train_b >> choose >> serve
on_failure: tell_us
schedule: {cron: "0 6 * * 1-5", timezone: Europe/London}
store: s3://ml-models/iris
resolve: "2024-05-31"
image: team/python:3.12
stages:
  serve:
    run: pipeline/serve.py
    inputs: {model: choose.model}
    service: {port: 5000, replicas: 2, startup_timeout: 2m, health: /health, route: /iris}
  train_a: &train
    run: ./pipeline//train.py
    python: "3.11"
    args: ["--model", logistic, 7, 0.50]
    requirements: [scikit-learn==1.7.2, joblib]
    env: {LOG_LEVEL: INFO, WORKERS: 04}
    secrets: {AWS_ACCESS_KEY_ID: aws-creds}
    resources: {cpu: 500m, memory: 512Mi, gpu: 1}
    outputs: {model: model.joblib}
    batch: {timeout: 1h30m, retries: 2}
  train_b:
    <<: *train
    args: []
    image: nvidia/cuda
  prepare: {run: pipeline/prepare.ipynb, requirements: ./requirements.txt}
  choose: {run: pipeline/choose.py, outputs: {model: model.joblib}, batch: }
  tell_us: {run: tell.py}
"""
FILES = [
    *("pipeline/serve.py", "pipeline/train.py", "pipeline/prepare.ipynb", "pipeline/choose.py"),
    *("tell.py", "requirements.txt"),
]


def test_the_head_of_the_file() -> None:
    project = project_of(WHOLE, FILES)
    assert (project.name, project.object_name, project.version) == ("iris", "iris", "2")
    assert project.steps == (("prepare",), ("train_a", "train_b"), ("choose",), ("serve",))
    assert [stage.name for stage in project.stages] == ["prepare", "train_a", "train_b", "choose", "serve"]
    assert project.schedule == Schedule(cron="0 6 * * 1-5", timezone="Europe/London")
    assert (project.store, project.resolve) == ("s3://ml-models/iris", "2024-05-31")
    assert (project.unused, project.setuptools, project.secrets_group) == ((), False, None)
    assert project.on_failure is not None
    assert project.on_failure.run == "tell.py"
    assert {stage.requirements.file for stage in project.all_stages} == {None, "requirements.txt"}


def test_every_key_of_a_batch_stage() -> None:
    stage = project_of(WHOLE, FILES).stage("train_a")
    assert stage == Stage(
        name="train_a",
        object_name="train-a",
        run="pipeline/train.py",
        args=("--model", "logistic", "7", "0.50"),
        python="3.11",
        image="team/python:3.12",
        requirements=Requirements(packages=("scikit-learn==1.7.2", "joblib")),
        env={"LOG_LEVEL": "INFO", "WORKERS": "04"},
        secrets=(SecretVariable(variable="AWS_ACCESS_KEY_ID", secret="aws-creds"),),
        resources=Resources(cpu=0.5, memory=512 * 2**20, gpu=1),
        outputs=(Output(name="model", file="model.joblib"),),
        does=Batch(timeout=5400.0, retries=2),
        after=frozenset({"prepare"}),
    )


def test_every_key_of_a_service_stage() -> None:
    stage = project_of(WHOLE, FILES).stage("serve")
    assert stage.service == Service(
        port=5000, replicas=2, startup_timeout=120.0, health="/health", route="/iris"
    )
    assert stage.inputs == (Input(name="model", stage="choose", output="model"),)
    assert stage.host_names == ("serve", "iris--serve")


CLUSTER = """
version: "2"
name: iris
workflow: train >> serve
kubernetes:
  namespace: team
  cache: {claim: packages}
  gateway: infra/web
  ingress_class: nginx
  prepare_timeout: 1h
  service_account: pipeline
  node_selector: {disk: ssd, generation: 4}
  annotations: {cost-centre: ml}
stages:
  train:
    run: train.py
    kubernetes:
      node_selector: {gpu: "true"}
      image_pull_secrets: [registry]
      tolerations:
        - {key: gpu, operator: Exists, effect: NoExecute, tolerationSeconds: 60}
        - {key: a, value: b}
      priority_class: high
  serve: {run: serve.py, service: {port: 5000, replicas: 2, autoscale: {max: 5, cpu: 80}}}
"""


def test_what_is_asked_of_a_cluster() -> None:
    project = project_of(CLUSTER)
    assert project.cluster == Cluster(
        namespace="team",
        cache=Cache(claim="packages"),
        gateway="infra/web",
        ingress_class="nginx",
        prepare_timeout=3600.0,
    )
    assert project.stage("serve").service.autoscale == Autoscale(max=5, cpu=80)


def test_a_key_of_a_stage_wins_over_that_of_the_project() -> None:
    project = project_of(CLUSTER)
    assert project.stage("serve").placement == Placement(
        service_account="pipeline",
        node_selector={"disk": "ssd", "generation": "4"},
        annotations={"cost-centre": "ml"},
    )
    assert project.stage("train").placement == Placement(
        service_account="pipeline",
        image_pull_secrets=("registry",),
        node_selector={"gpu": "true"},
        tolerations=(
            Toleration(key="gpu", operator="Exists", effect="NoExecute", seconds=60),
            Toleration(key="a", value="b"),
        ),
        annotations={"cost-centre": "ml"},
        priority_class="high",
    )


def test_yaml_merge_keys_and_defaults_of_the_project() -> None:
    project = project_of(WHOLE, FILES)
    merged = project.stage("train_b")
    assert (merged.args, merged.image, merged.batch.retries) == ((), "nvidia/cuda", 2)
    assert project.stage("prepare").requirements == Requirements(file="requirements.txt")
    assert project.stage("prepare").python == "3.12"
    assert project.stage("choose").does == Batch()


def test_the_stages_of_a_step_share_one_set_of_what_they_wait_for() -> None:
    project = project_of(WHOLE, FILES)
    assert project.stage("train_a").after is project.stage("train_b").after
    assert project.stage("choose").after == {"train_a", "train_b"}


def test_the_smallest_file() -> None:
    project = project_of('version: "2"\nname: x\nstages: {train: {run: train.py}}', ["train.py"])
    (stage,) = project.stages
    assert project.steps == (("train",),)
    assert stage == Stage(name="train", object_name="train", run="train.py")


def test_a_single_stage_beside_the_one_for_failures_needs_no_workflow() -> None:
    project = project_of('version: "2"\nname: x\non_failure: b\nstages: {a: {run: a.py}, b: {run: a.py}}')
    assert project.steps == (("a",),)


def test_after_gives_the_levels_of_the_graph() -> None:
    project = project_of(
        """
version: "2"
name: x
stages:
  serve: {run: a.py, after: [choose], service: {port: 80}}
  choose: {run: a.py, after: [train-1, train-2]}
  train-1: {run: a.py, after: [prepare]}
  prepare: {run: a.py}
  train-2: {run: a.py}
"""
    )
    assert project.steps == (("prepare", "train-2"), ("train-1",), ("choose",), ("serve",))
    assert project.stage("choose").after == {"train-1", "train-2"}
    assert project.stage("train-2").after == frozenset()


def test_empty_after_lists_let_all_stages_run_at_once() -> None:
    project = project_of('version: "2"\nname: x\nstages: {a: {run: a.py, after: []}, b: {run: a.py}}')
    assert project.steps == (("a", "b"),)


@pytest.mark.parametrize("change", [lambda t: "\ufeff" + t, lambda t: t.replace("\n", "\r\n"), str.strip])
def test_marks_line_ends_and_a_missing_last_one_do_not_matter(change: object) -> None:
    assert project_of(change(WHOLE), FILES) == project_of(WHOLE, FILES)  # type: ignore[operator]


def test_yaml_1_2_words_stay_text() -> None:
    text = (
        'version: "2"\nname: on\nstages: {a: {run: a.py, env: {A: yes, B: 2024-01-31, C: 12:30, D: 1_000}}}'
    )
    project = project_of(text)
    assert project.name == "on"
    assert dict(project.stage("a").env) == {"A": "yes", "B": "2024-01-31", "C": "12:30", "D": "1_000"}


def test_every_kind_of_requirements_file() -> None:
    kinds = ["requirements.txt", "dev.in", "pyproject.toml", "uv.lock", "pylock.toml", "pylock.train.toml"]
    for file in kinds:
        text = f'version: "2"\nname: x\nstages: {{a: {{run: a.py, requirements: sub/{file}}}}}'
        project = project_of(text, ["a.py", f"sub/{file}", "sub/pyproject.toml"])
        assert [stage.requirements.file for stage in project.stages] == [f"sub/{file}"]


def test_a_chain_of_a_thousand_stages_is_read_in_a_moment() -> None:
    names = [f"stage-{number}" for number in range(1000)]
    for order in (" >> ", ", "):
        stages = "".join(f"  {name}: {{run: a.py}}\n" for name in names)
        project = project_of(
            f'version: "2"\nname: x\nworkflow: {order.join(names)}\nstages:\n{stages}', ["a.py"]
        )
        assert len(project.stages) == 1000
    stages = "".join(
        f"  {name}: {{run: a.py, after: [{before}]}}\n"
        for name, before in zip(names[1:], names, strict=False)
    )
    project = project_of(f'version: "2"\nname: x\nstages:\n  stage-0: {{run: a.py}}\n{stages}', ["a.py"])
    assert len(project.steps) == 1000


def test_the_model_needs_neither_yaml_nor_pydantic() -> None:
    code = "import sys, bodywork.spec.model; print(sorted({'yaml', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
