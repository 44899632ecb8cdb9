"""What a user reads of a pod that does not run, or has ended: from objects of a real cluster (1.34)."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bodywork.targets.kubernetes.pods.diagnose import obstacle
from bodywork.targets.kubernetes.pods.ending import ending, over
from bodywork.targets.kubernetes.pods.refused import refused, said_of

OBJECTS = Path(__file__).with_name("objects")
PODS: dict[str, Any] = json.loads((OBJECTS / "pods.json").read_text())
EVENTS: dict[str, Any] = json.loads((OBJECTS / "events.json").read_text())

FOR_EVER = None


THERE = "--target kubernetes --namespace target-diag"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cpu", "no node can take it: the only node has too little cpu free; it asks for 64 (resources.cpu)"),
        (
            "memory",
            "no node can take it: the only node has too little memory free; "
            "it asks for 900Gi (resources.memory)",
        ),
        (
            "gpu",
            "no node can take it: the only node has too little nvidia.com/gpu free; "
            "it asks for 1 (resources.gpu)",
        ),
        (
            "node-selector",
            "no node can take it: the only node has not the labels that it asks for "
            "(kubernetes.node_selector)",
        ),
        (
            "claim",
            "a persistent volume claim of its pod has no volume yet: the cluster's storage has not made one "
            "(kubectl get persistentvolumeclaims tells more)",
        ),
        (
            "no-claim",
            "there is no persistent volume claim nothing in namespace target-diag; "
            "create it, or name another one (kubernetes.cache)",
        ),
    ],
)
def test_what_no_node_can_take_is_waited_for(name: str, reason: str) -> None:
    found = obstacle(PODS[name])
    assert found is not None
    assert (found.reason, found.patience) == (reason, FOR_EVER)


def test_several_causes_are_all_told() -> None:
    pod = json.loads(json.dumps(PODS["cpu"]))
    (scheduled,) = [one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled"]
    scheduled["message"] = (
        "0/3 nodes are available: 1 node(s) had untolerated taint {pool: gpu}, 2 Insufficient cpu, "
        "1 node(s) were unschedulable. preemption: 0/3 nodes are available."
    )
    found = obstacle(pod)
    assert found is not None
    assert found.reason == (
        "no node can take it: 1 of 3 nodes has a taint pool: gpu that it does not tolerate "
        "(kubernetes.tolerations); 2 of 3 nodes have too little cpu free; it asks for 64 (resources.cpu); "
        "1 of 3 nodes has been closed to new pods (kubectl cordon or drain)"
    )


@pytest.mark.parametrize(
    ("name", "reason", "patience"),
    [
        (
            "image",
            "image registry.invalid/team/missing:1 cannot be pulled: its registry is not found by name; "
            "name one that the cluster's nodes can pull with --image, or build it with scripts/image",
            60,
        ),
        ("image-name", '"Not A Name" is not the name of an image (--image, or image: of the stage)', 0),
        (
            "image-never",
            "image localhost/none-such:1 is not on its node, and may not be pulled; "
            "name one that the cluster's nodes can pull with --image, or build it with scripts/image",
            10,
        ),
        (
            "secret",
            f"there is no secret aws-creds; make it: bodywork secret set aws-creds KEY {THERE}",
            10,
        ),
        ("key", f"secret there has no key KEY; set it: bodywork secret set there KEY {THERE}", 10),
        (
            "nonroot",
            "image localhost/debian-python:3.11 runs as root, which pods of bodywork never do; "
            "name a user in it (USER 1000)",
            10,
        ),
    ],
)
def test_what_hardly_mends_itself_fails_after_a_while(name: str, reason: str, patience: float) -> None:
    found = obstacle(PODS[name])
    assert found is not None
    assert (found.reason, found.patience) == (reason, patience)


def test_an_image_of_bodywork_is_built_for_a_python_and_one_of_the_stage_is_another() -> None:
    pod = copy.deepcopy(PODS["image"])
    status = pod["status"]["containerStatuses"][0]
    status["image"] = "localhost/bodywork:dev-python3.13"
    found = obstacle(pod)
    assert found is not None
    command = "scripts/image localhost/bodywork:dev-python3.13 --python 3.13"
    assert f"build it: {command}, and push it" in found.reason
    pod["spec"]["initContainers"] = [{"name": "uv"}]
    found = obstacle(pod)
    assert found is not None
    assert found.reason.endswith("name one that the cluster's nodes can pull (image: of the stage)")


@pytest.mark.parametrize("name", ["running", "code"])
def test_a_pod_that_runs_or_has_run_has_no_obstacle(name: str) -> None:
    assert obstacle(PODS[name]) is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('Pulling image "bodywork/bodywork:1"', "image bodywork/bodywork:1 is being pulled"),
        (
            'MountVolume.SetUp failed for volume "v" : secret "source-01" not found',
            "there is no secret source-01, which its pod mounts",
        ),
    ],
)
def test_where_the_pod_says_nothing_its_events_do(message: str, reason: str) -> None:
    event = {"reason": message.split()[0], "message": message, "metadata": {}}
    event["reason"] = "Pulling" if message.startswith("Pulling") else "FailedMount"
    found = obstacle({**PODS["running"], "status": {"phase": "Pending"}}, [event])
    assert found is not None
    assert found.reason == reason


@pytest.mark.parametrize(
    ("name", "reason", "patience"),
    [
        (
            "quota",
            "quota small of its namespace is exceeded: it asks for limits.memory=1Gi, "
            "in use is limits.memory=0 of limits.memory=100Mi; ask for less (resources), "
            "or have the quota raised",
            0,
        ),
        (
            "quota-nolimit",
            "quota small of its namespace wants each pod to say limits.memory; say it (resources.cpu, "
            "resources.memory)",
            0,
        ),
        (
            "range",
            "the cluster forbids its pod: maximum memory usage per Container is 100Mi, but limit is 1Gi",
            5,
        ),
        ("account", "there is no service account nobody in its namespace (kubernetes.service_account)", 20),
    ],
)
def test_pods_that_were_refused(name: str, reason: str, patience: float) -> None:
    found = refused(EVENTS[name])
    assert found is not None
    assert (found.reason, found.patience) == (reason, patience)


def test_a_pod_that_its_namespace_forbids() -> None:
    found = refused(EVENTS["security"])
    assert found is not None
    assert found.reason.startswith(
        "its namespace forbids the pod (Pod Security restricted): allowPrivilegeEsc"
    )
    assert found.patience == 0


def test_a_quota_that_is_in_use_is_waited_for() -> None:
    message = 'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5'
    assert said_of(message).patience is FOR_EVER


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("code", "exited with 3"),
        ("oom", "ran out of memory: its limit is 64Mi; raise it (resources.memory)"),
        ("oom-child", "ran out of memory: its limit is 64Mi; raise it (resources.memory)"),
        (
            "evicted",
            "was evicted from its node: Pod ephemeral local storage usage exceeds the total limit "
            "of containers 10Mi",
        ),
        ("deleted", "was killed by SIGKILL"),
    ],
)
def test_how_a_container_without_a_report_ended(name: str, reason: str) -> None:
    found = ending(PODS[name])
    assert found is not None
    assert not found.ended.ok
    assert found.ended.reason == reason
    assert found.lost == ("its pod was deleted" if name == "deleted" else "")


def test_a_program_that_is_not_there() -> None:
    found = ending(PODS["program"])
    assert found is not None
    assert 'exec: "nothing-like-that": executable file not found' in found.ended.reason


def reported(code: int, **report: Any) -> dict[str, Any]:
    pod: dict[str, Any] = json.loads(json.dumps(PODS["code"]))
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    terminated.update(exitCode=code, message=json.dumps({"phase": "module", "reason": "", **report}))
    return pod


def test_the_report_of_the_runtime_counts() -> None:
    pod = reported(0, exit_code=0, outputs={"model": "file:ab"}, peak_memory=5, cpu_seconds=0.5)
    found = ending(pod)
    assert found is not None
    assert found.ended.ok
    assert (found.ended.outputs, found.ended.peak_memory) == ({"model": "file:ab"}, 5)


def test_packages_that_cannot_be_installed() -> None:
    reason = "its packages could not be installed: no such package: nothing-like-that"
    found = ending(reported(97, phase="preparing", reason=reason, retry=False))
    assert found is not None
    assert (found.ended.ok, found.ended.reason, found.ended.retry) == (False, reason, False)
    assert found.ended.exit_code is None


def test_an_evicted_pod_is_lost_and_its_success_is_not() -> None:
    evicted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    for code, lost in ((143, "it was evicted from its node (kubectl drain, or an autoscaler)"), (0, "")):
        pod = reported(code, exit_code=code)
        pod["status"]["conditions"].append(evicted)
        found = ending(pod)
        assert found is not None
        assert found.lost == lost


@pytest.mark.parametrize(
    ("phase", "told", "expected"),
    [
        ("Running", False, False),  # it is started again
        ("Running", True, True),
        ("Failed", False, True),  # evicted: another pod takes its place
    ],
)
def test_a_pod_of_a_service_whose_container_exited_is_over_when_it_is_not_started_again(
    phase: str, told: bool, expected: bool
) -> None:
    pod = copy.deepcopy(PODS["code"])
    pod["spec"]["restartPolicy"] = "Always"
    pod["status"]["phase"] = phase
    if told:
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert over(pod) is expected


def test_a_pod_of_a_service_that_still_answers_is_not_over_although_it_was_told_to_end() -> None:
    pod = copy.deepcopy(PODS["running"])
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not over(pod)
