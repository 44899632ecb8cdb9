"""The command is killed at every change that it makes in the cluster, and the run resumed: it ends as
if nothing had happened."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from between import Between
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, POD, SERVICE
from ground import SERVER, Ground
from loopback import Asked
from pod_watch import PodWatch

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

WORKFLOW = """workflow: first >> flaky, second >> serve
on_failure: tell
stages:
  first: {run: first.py}
  flaky: {run: flaky.py, batch: {retries: 2}}
  second: {run: second.py}
  serve: {run: serve.py, service: {port: 5000, startup_timeout: 60s}}
  tell: {run: second.py}
"""
ON_FIRST_ATTEMPT = 'socket.gethostname().split("-")[-2] == "1"'
MODULES = {
    "first.py": "print('made')\n",
    "flaky.py": f"import socket, sys\nsys.exit({ON_FIRST_ATTEMPT})\n",
    "second.py": "import time; time.sleep(1); print('done')\n",
    "serve.py": SERVER,
}


def changes(asked: Asked) -> bool:
    """Whether a request changes what a run is made of; renewing a lease does not."""
    return asked.method in ("POST", "PATCH", "PUT", "DELETE") and not (
        (asked.method == "PUT" and "/leases/" in asked.path) or "/selfsubjectaccessreviews" in asked.path
    )


class KilledAt:
    """Kills the command when its change number `point` has been made, before it hears of that."""

    def __init__(self, point: int) -> None:
        self.point = point
        self.made: list[str] = []
        self.kill: Callable[[], None] = lambda: None

    def heard(self, asked: Asked, status: int) -> None:
        if changes(asked):
            self.made.append(f"{asked.method} {asked.path} {status}")
            if len(self.made) == self.point:
                self.kill()


def run_killed_at(ground: Ground, between: Between, point: int) -> KilledAt:
    killer = KilledAt(point)
    between.heard = killer.heard
    ground.tool.extra["KUBECONFIG"] = str(between.kubeconfig)
    running = ground.start()
    killer.kill = lambda: running.child.send_signal(signal.SIGKILL)
    running.end()
    return killer


@pytest.mark.parametrize("point", range(1, 33))
def test_a_run_killed_at_any_change_ends_as_if_nothing_had_happened(
    ground: Ground, between: Between, point: int
) -> None:
    ground.commit(WORKFLOW, MODULES)
    with PodWatch(ground) as pods:
        killer = run_killed_at(ground, between, point)
        print(*killer.made, sep="\n")
        shutil.rmtree(ground.repository.path)
        other = ground.another_tool("another", cache=ground.folder / "another-cache")
        found = other("status", ground.name, "-o", "json")
        if found.code != 0:  # nothing of the run had been recorded
            assert "there is no pipeline" in found.err and not pods.pods
            return
        run, state = found.json["run"], found.json["state"]
        if state != "succeeded":
            assert state == "interrupted"
            if not any("/secrets" in change for change in killer.made):
                # the project's files are not in the cluster yet: only the machine that has them can go on
                assert other("resume", ground.name).code == 2
                assert other.good("status", ground.name, "-o", "json").json["state"] == "interrupted"
                other = ground.tool
            other.good("resume", ground.name, timeout=240)
        pods.check(first=1, flaky=1, second=1)
    status = other.good("status", ground.name, "-o", "json").json
    assert status["state"] == "succeeded"
    expected = dict.fromkeys(("first", "flaky", "second", "serve"), "succeeded") | {"tell": "skipped"}
    assert {one["name"]: one["state"] for one in status["stages"]} == expected
    assert status["services"][0]["ready"] == 1
    left_over(ground, run)


def left_over(ground: Ground, run: str) -> None:
    """Nothing is left but what an undisturbed run leaves."""
    there = ground.objects(run)
    undisturbed = Counter(
        {
            "Job first-RUN-1": 1,
            "Job flaky-RUN-1": 1,
            "Job flaky-RUN-2": 1,
            "Job second-RUN-1": 1,
            "Deployment serve": 1,
            "ReplicaSet serve": 1,
            "Service serve": 1,
            f"Service {ground.name}--serve": 1,
            f"Lease run-lock-{ground.name}": 1,
            "ConfigMap kube-root-ca.crt": 1,
            "ConfigMap run-RUN": 1,
            "ConfigMap log-RUN-first": 1,
            "ConfigMap log-RUN-second": 1,
            "ServiceAccount default": 1,
        }
    )
    secrets = Counter({name: n for name, n in there.items() if name.startswith("Secret source-")})
    assert secrets.total() == 1, there
    assert not there - secrets - undisturbed, there


def test_an_interrupted_run_that_is_stopped_leaves_nothing_that_runs(ground: Ground) -> None:
    ground.commit(
        "workflow: work, serve\nstages:\n  work: {run: work.py}\n"
        "  serve: {run: work.py, service: {port: 5000}}\n",
        {"work.py": "import time; print('begun', flush=True); time.sleep(600)\n"},
    )
    running = ground.start()
    running.says("work | begun", seconds=120)
    running.says("serve | begun", seconds=120)
    running.kill()
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    assert "is cancelled" in other.good("stop", ground.name).out
    assert not ground.all(DEPLOYMENT) and not ground.all(SERVICE)
    assert not [pod for pod in ground.all(POD) if pod["status"]["phase"] in ("Pending", "Running")]
    assert other.good("status", ground.name, "-o", "json").json["state"] == "cancelled"
