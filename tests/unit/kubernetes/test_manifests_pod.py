"""What a stage's pod is: the same for batch stages and services."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bodywork.errors import UsageError
from bodywork.targets.kubernetes.manifests.containers import fetched
from bodywork.targets.kubernetes.manifests.deployment import deployment
from bodywork.targets.kubernetes.manifests.job import job, job_name
from bodywork.targets.kubernetes.manifests.launch import LaunchLock
from planned import COMMIT, DIGEST, OLD, PROJECT, RUN, SECRET, launch_of, lock_of, plan_of, settings_of

NOT_RESTRICTED = ("hostNetwork", "hostPID", "hostIPC", "hostPort", "hostPath")


def job_of(text: str = PROJECT, name: str = "train", **changes: Any) -> dict[str, Any]:
    plan = replace(plan_of(text), date=changes.pop("date", None))
    settings = settings_of(plan, changes.pop("ours", None))
    arguments = {"attempt": 1, "launch": launch_of(plan, name, settings), "source": SECRET, "variables": {}}
    return job(plan, plan.stage(name), settings, **(arguments | changes))


def service_of(text: str = PROJECT, name: str = "serve", **changes: Any) -> dict[str, Any]:
    plan = plan_of(text)
    settings = settings_of(plan)
    launch = launch_of(plan, name, settings)
    arguments = {"launch": launch, "source": SECRET, "inputs": {"model": DIGEST}}
    return deployment(plan, plan.stage(name), settings, **(arguments | changes))


def pod_of(obj: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = obj["spec"]["template"]["spec"]
    return spec


def stage_of(obj: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(obj)["containers"]
    assert isinstance(container, dict)
    return container


def variables_of(obj: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in stage_of(obj)["env"]}


def one_stage(more: str) -> str:
    return f'version: "2"\nname: x\nstages: {{a: {{run: a.py, {more}}}}}\n'


@pytest.mark.parametrize("obj", [job_of(), service_of()])
def test_every_pod_keeps_to_pod_security_restricted(obj: dict[str, Any]) -> None:
    pod = pod_of(obj)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert stage_of(obj)["securityContext"] == security
    assert not [word for word in NOT_RESTRICTED if word in json.dumps(obj)]


def nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return any(nulls(below) for below in value.values())
    return any(map(nulls, value)) if isinstance(value, list) else value is None


@pytest.mark.parametrize("obj", [job_of(), service_of(), job_of(one_stage("args: []"), "a")])
def test_what_is_not_said_is_not_there(obj: dict[str, Any]) -> None:
    """A null would take away, by server-side apply, what others have set."""
    assert not nulls(obj)


def test_a_small_project_needs_no_container_before_the_stage() -> None:
    for obj in (job_of(), service_of()):
        pod = pod_of(obj)
        assert "initContainers" not in pod
        assert [one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one] == [SECRET]
        mounts = {one["mountPath"]: one.get("readOnly", False) for one in stage_of(obj)["volumeMounts"]}
        assert mounts == {"/bodywork": True, "/work": False, "/cache": False, "/dev/shm": False}
        assert stage_of(obj)["command"][-1] == "/bodywork/launch.py"


def test_a_stage_sees_its_own_secrets_and_variables_only() -> None:
    given = variables_of(job_of(variables={"BODYWORK_FAILURE": "{}"}))
    assert given["API_TOKEN"] == {"secretKeyRef": {"name": "weather-service", "key": "API_TOKEN"}}
    assert given["LOG_LEVEL"] == "INFO"
    assert given["BODYWORK_FAILURE"] == "{}"
    assert (given["BODYWORK_RUN"], given["BODYWORK_COMMIT"], given["GIT_COMMIT_HASH"]) == (
        RUN,
        COMMIT,
        COMMIT,
    )
    assert given["BODYWORK_TARGET"] == "kubernetes"
    assert "PORT" not in given
    served = variables_of(service_of())
    assert served["PORT"] == "5000"
    assert not {"API_TOKEN", "LOG_LEVEL"} & served.keys()


def test_a_run_for_a_day_tells_it_to_its_pods() -> None:
    assert "BODYWORK_DATE" not in variables_of(job_of())
    assert variables_of(job_of(date="2026-03-01"))["BODYWORK_DATE"] == "2026-03-01"


def test_secrets_of_a_group_are_those_that_begin_with_its_name() -> None:
    given = variables_of(service_of(OLD, "stage_4", inputs={}))
    assert given["API_TOKEN"]["secretKeyRef"] == {"name": "prod-weather-service", "key": "API_TOKEN"}


def test_dollars_arrive_as_they_are_written() -> None:
    """Kubernetes makes one dollar of two, and looks for variables after a single one."""
    said = variables_of(job_of())["BODYWORK_LAUNCH"]
    assert json.loads(said.replace("$$", "$"))["args"] == ["--price", "$(HOME) $$5"]
    assert said.replace("$$", "").count("$") == 0


def test_what_the_runtime_is_told_about_a_batch_stage() -> None:
    plan = plan_of()
    launch = json.loads(launch_of(plan, "train", settings_of(plan)).encode())
    assert launch["stage"] == "train"
    assert launch["source"] == "/bodywork/project.tar.gz"
    assert (launch["project"], launch["run"], launch["python"]) == (
        "/work/project",
        "pipeline/train.py",
        "3.11",
    )
    assert launch["lock"]["file"] == f"/bodywork/lock-{'ab' * 8}.gz"
    assert (launch["lock"]["hashed"], launch["lock"]["empty"], launch["lock"]["wheels"]) == (
        True,
        False,
        None,
    )
    signed = {"url": "https://store.example/model.joblib?sign=1", "more": "", "piece": None, "headers": {}}
    assert launch["outputs"] == [{"name": "model", "file": "model.joblib", "to": signed}]
    assert (launch["timeout"], launch["prepare_timeout"], launch["drain"]) == (1200.0, 1800.0, 0.0)
    assert (launch["secrets"], launch["given"]) == (["API_TOKEN"], ["API_TOKEN", "LOG_LEVEL"])
    assert (launch["port"], launch["hosts"]) == (None, ["iris--serve", "serve"])


def test_what_the_runtime_is_told_about_a_service() -> None:
    plan = plan_of()
    launch = json.loads(launch_of(plan, "serve", settings_of(plan), whole=False).encode())
    assert launch["source"] is None
    assert launch["inputs"] == [{"name": "model", "file": "model.joblib", "digest": DIGEST, "origin": None}]
    assert (launch["port"], launch["timeout"]) == (5000, None)
    assert launch["drain"] > 0


@pytest.mark.parametrize(
    ("text", "empty"),
    [("", True), ("# nothing\n--index-url x\n", True), ("a==1\n", False), ("a==1 \\\n    --hash=x", False)],
)
def test_a_lock_of_no_packages_is_told(text: str, empty: bool) -> None:
    assert LaunchLock.of(lock_of(text)).empty is empty


def test_resources_are_what_the_stage_asks_for() -> None:
    assert stage_of(job_of())["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"memory": "512Mi", "nvidia.com/gpu": "1"},
    }


def test_a_stage_that_asks_for_nothing_is_counted_and_not_limited() -> None:
    assert stage_of(service_of())["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}}


def test_where_pods_go_is_said_by_the_project_and_the_stage() -> None:
    pod = pod_of(job_of())
    assert pod["serviceAccountName"] == "trainer"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["priorityClassName"] == "high"
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    assert pod["tolerations"] == [toleration]
    assert job_of()["spec"]["template"]["metadata"]["annotations"] == {"cost-centre": "ml"}
    assert "serviceAccountName" not in pod_of(service_of())
    assert pod_of(service_of())["nodeSelector"] == {"disk": "ssd"}


def test_the_image_is_that_of_the_stages_python() -> None:
    assert stage_of(job_of())["image"].endswith("-python3.11")
    given = {"BODYWORK_IMAGE": "team/bodywork:7-py{python}"}
    assert stage_of(job_of(ours=given))["image"] == "team/bodywork:7-py3.11"
    assert stage_of(service_of(OLD, "stage_4", inputs={}))["image"].endswith("-python3.9")


def test_what_is_no_image_is_told() -> None:
    with pytest.raises(UsageError, match='BODYWORK_IMAGE: "not an image" is not the name of an image'):
        settings_of(plan_of(), {"BODYWORK_IMAGE": "not an image"})


def test_an_image_of_the_stage_gets_uv_from_ours() -> None:
    pod = pod_of(job_of(one_stage("image: team/gpu:1, python: '3.10'"), "a"))
    assert pod["containers"][0]["image"] == "team/gpu:1"
    (uv,) = pod["initContainers"]
    assert uv["image"].endswith("-python3.10")
    assert "/work/bin/uv" in uv["command"][-1]
    compile(uv["command"][-1], "uv", "exec")


def test_only_the_container_that_fetches_sees_the_credential() -> None:
    plan = plan_of()
    settings = settings_of(plan)
    pod = pod_of(job_of(init=[fetched(plan, settings, credential="git")]))
    (fetch,) = pod["initContainers"]
    assert json.loads(fetch["env"][0]["value"])["commit"] == COMMIT
    (volume,) = [one["name"] for one in pod["volumes"] if one.get("secret", {}).get("secretName") == "git"]
    assert volume in [one["name"] for one in fetch["volumeMounts"]]
    assert volume not in [one["name"] for one in pod["containers"][0]["volumeMounts"]]
    assert fetch["resources"]["limits"]["memory"]


def test_a_big_project_of_this_machine_is_told() -> None:
    plan = plan_of()
    here = replace(plan, source=replace(plan.source, repository="/home/me/iris"))
    with pytest.raises(
        UsageError, match="iris is too big for a Secret, and a cluster cannot fetch it from /home"
    ):
        fetched(here, settings_of(here))


@pytest.mark.parametrize(
    ("cache", "volume"),
    [
        ("", {"emptyDir": {}}),
        ("claim: packages", {"persistentVolumeClaim": {"claimName": "packages"}}),
        ("path: /var/cache/x", {"hostPath": {"path": "/var/cache/x", "type": "Directory"}}),
    ],
)
def test_packages_are_kept_where_the_project_says(cache: str, volume: dict[str, Any]) -> None:
    kept = f"kubernetes: {{cache: {{{cache}}}}}" if cache else ""
    pod = pod_of(job_of(f'version: "2"\nname: x\n{kept}\nstages: {{a: {{run: a.py}}}}\n', "a"))
    assert [one for one in pod["volumes"] if one["name"] == "cache"] == [{"name": "cache", **volume}]


def test_a_job_is_one_attempt_and_disruptions_are_none() -> None:
    made = job_of(attempt=2)
    spec = made["spec"]
    assert made["metadata"]["name"] == f"train-{RUN}-2"
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert spec["ttlSecondsAfterFinished"] == 86400
    assert spec["template"]["metadata"]["labels"]["bodywork/attempt"] == "2"


def test_labels_tell_pipeline_stage_run_and_commit() -> None:
    assert job_of()["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "bodywork",
        "app.kubernetes.io/part-of": "iris",
        "app.kubernetes.io/name": "train",
        "bodywork/pipeline": "iris",
        "bodywork/stage": "train",
        "bodywork/kind": "batch",
        "bodywork/run": RUN,
        "bodywork/commit": COMMIT,
        "bodywork/attempt": "1",
    }


def test_long_names_are_cut_and_stay_apart() -> None:
    long = ["a" * 62 + "b", "a" * 62 + "c"]
    stages = ", ".join(f"{name}: {{run: a.py, after: []}}" for name in long)
    plan = plan_of(f'version: "2"\nname: x\nstages: {{{stages}}}\n')
    names = {job_name(plan, planned.stage, 12) for planned in plan.stages}
    assert len(names) == 2
    assert all(len(name) <= 63 and name.endswith(f"-{RUN}-12") for name in names)
