"""Plans of small projects, for tests of what a cluster is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from bodywork.artifacts.pieces import Signed
from bodywork.environment import Lock
from bodywork.run.plan import Plan, Source, make_plan
from bodywork.spec.read import read
from bodywork.targets.kubernetes.manifests.launch import Launch
from bodywork.targets.kubernetes.settings import Settings

COMMIT = "3f8a1c0d5e7b92a4c6d8e0f1a2b3c4d5e6f70819"
RUN = "20260301-060000-1a2b"
DIGEST = "file:" + "5d" * 32
SECRET = "source-0123456789abcdef"

PROJECT = """
version: "2"
name: iris
python: "3.11"
workflow: train >> serve
kubernetes:
  node_selector: {disk: ssd}
  tolerations: [{key: gpu, operator: Exists, effect: NoExecute, tolerationSeconds: 60}]
  annotations: {cost-centre: ml}
stages:
  train:
    run: pipeline/train.py
    args: ["--price", "$(HOME) $$5"]
    requirements: [scikit-learn==1.7.2]
    env: {LOG_LEVEL: INFO}
    secrets: {API_TOKEN: weather-service}
    resources: {cpu: 0.5, memory: 512Mi, gpu: 1}
    outputs: {model: model.joblib}
    batch: {timeout: 20m, retries: 2}
    kubernetes:
      service_account: trainer
      image_pull_secrets: [registry]
      priority_class: high
  serve:
    run: pipeline/serve.py
    inputs: {model: train.model}
    service:
      {port: 5000, replicas: 2, startup_timeout: 1m, health: /health, route: /iris/, autoscale: {max: 5}}
"""

OLD = """
version: "1.1"
pipeline: {name: Old_Project, docker_image: bodyworkml/bodywork-core:3.0, DAG: stage_4, secrets_group: prod}
stages:
  stage_4:
    executable_module_path: serve.py
    secrets: {API_TOKEN: weather-service}
    service: {port: 5000, replicas: 1, ingress: true}
"""


def plan_of(text: str = PROJECT, *, run: str = RUN) -> Plan:
    project, _ = read(text.encode(), file="bodywork.yaml", files=None)
    return make_plan(
        run=run,
        target="kubernetes",
        project=project,
        source=Source(
            repository="https://git.example/iris",
            ref="main",
            commit=COMMIT,
            file="bodywork.yaml",
            folder="",
            files="f1" * 32,
        ),
        environments={stage.name: "e1" * 32 for stage in project.all_stages},
        observed={},
    )


def lock_of(text: str = "joblib==1.5.2 --hash=sha256:00\n", *, digest: str = "ab" * 32) -> Lock:
    return Lock(
        digest=digest, python="3.11", text=text, form="requirements", as_of=None, warnings=(), undated=()
    )


def settings_of(
    plan: Plan, ours: Mapping[str, str] | None = None, *, namespace: str | None = None
) -> Settings:
    return Settings.of(plan.project, ours or {}, namespace=namespace)


def launch_of(
    plan: Plan, name: str, settings: Settings, *, lock: Lock | None = None, whole: bool = True
) -> Launch:
    planned = plan.stage(name)
    return Launch.of(
        plan,
        planned,
        lock or lock_of(),
        settings,
        digests={one.name: DIGEST for one in planned.stage.inputs},
        uploads={
            one.name: Signed(url=f"https://store.example/{one.file}?sign=1") for one in planned.stage.outputs
        },
        downloads={},
        whole=whole,
    )
