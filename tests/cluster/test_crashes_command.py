"""The command is killed at every change that it makes in the cluster, before and after it, and the run
resumed: it ends as if nothing had happened.

The changes have names (`crash_points`), and one test holds that there are no others than the ones below. One
run is killed and resumed at many of them, one after the other: a command for each, and one that ends it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass

import pytest

from between import Between
from bodywork.targets.kubernetes.batch.jobs import complete, failed
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, JOB, POD, SERVICE, Object
from crash_points import Killer, When
from ground import SERVER, Ground, Running
from pod_watch import PodWatch
from tool import Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ON_FIRST_ATTEMPT = 'socket.gethostname().split("-")[-2] == "1"'
MODULES = {
    "work.py": "print('made')\n",
    "flaky.py": f"import socket, sys\nsys.exit({ON_FIRST_ATTEMPT})\n",
    "bad.py": "import sys; sys.exit('no data')\n",
    "serve.py": SERVER,
}


@dataclass(frozen=True, kw_only=True)
class Course:
    """A workflow, and what an undisturbed run of it changes, how often its stages succeed, how it ends."""

    workflow: str
    changes: tuple[str, ...]
    successes: dict[str, int]
    states: dict[str, str]
    state: str
    left: tuple[str, ...]


GOOD = Course(
    workflow="""workflow: flaky, work >> serve
on_failure: tell
stages:
  flaky: {run: flaky.py, batch: {retries: 2}}
  work: {run: work.py}
  serve: {run: serve.py, service: {port: 5000, replicas: 2, startup_timeout: 60s}}
  tell: {run: work.py}
""",
    changes=(
        "create namespaces PIPELINE",
        "take the lease",
        "create configmaps run-RUN",
        "record RunStarted",
        "record StagePreparing work",
        "create secrets source",
        "record StagePrepared work",
        "create jobs work-RUN-1",
        "record StageStarted work 1",
        "record StageEnded work succeeded",
        "apply configmaps log-RUN-work",
        "create jobs flaky-RUN-1",
        "record StageStarted flaky 1",
        "record StageRetrying flaky 1",
        "create jobs flaky-RUN-2",
        "record StageStarted flaky 2",
        "record StageEnded flaky succeeded",
        "apply services serve",
        "apply services PIPELINE--serve",
        "apply poddisruptionbudgets serve",
        "apply deployments serve",
        "record StageStarted serve 1",
        "patch deployments serve",
        "record StageEnded serve succeeded",
        "record StageEnded tell skipped",
        "record RunEnded succeeded",
        "record the release",
        "give the lease back",
    ),
    successes={"flaky": 1, "work": 1},
    states={**dict.fromkeys(("flaky", "work", "serve"), "succeeded"), "tell": "skipped"},
    state="succeeded",
    left=(
        "Job flaky-RUN-1",
        "Job flaky-RUN-2",
        "Job work-RUN-1",
        "Deployment serve",
        "ReplicaSet serve",
        "Service serve",
        "Service PIPELINE--serve",
        "PodDisruptionBudget serve",
        "ConfigMap log-RUN-work",
    ),
)
NOTED_TOGETHER = {
    f"record {what} {stage}"
    for what in ("StagePreparing", "StagePrepared")
    for stage in ("flaky", "serve", "tell")
}
"""Nothing follows from them, and they are the same for all stages: they are no points."""

OF_RESUME = ("take the lease over", "record RunStarted again")
"""Changes that a resumed run makes besides."""

FAILING = Course(
    workflow="""workflow: work >> bad >> never
on_failure: tell
stages:
  work: {run: work.py}
  bad: {run: bad.py}
  never: {run: work.py}
  tell: {run: work.py}
""",
    changes=(
        "create jobs bad-RUN-1",
        "record StageStarted bad 1",
        "apply configmaps log-RUN-bad",
        "record StageEnded bad failed",
        "record StageEnded never skipped",
        "create jobs tell-RUN-1",
        "record StageStarted tell 1",
        "apply configmaps log-RUN-tell",
        "record StageEnded tell succeeded",
        "record RunEnded failed",
        "give the lease back",
    ),
    successes={"work": 1, "tell": 1},
    states={"work": "succeeded", "bad": "failed", "never": "skipped", "tell": "succeeded"},
    state="failed",
    left=(
        "Job work-RUN-1",
        "Job bad-RUN-1",
        "Job tell-RUN-1",
        "ConfigMap log-RUN-work",
        "ConfigMap log-RUN-bad",
        "ConfigMap log-RUN-tell",
    ),
)
ALWAYS = (
    "Lease run-lock-PIPELINE",
    "ConfigMap kube-root-ca.crt",
    "ConfigMap run-RUN",
    "ServiceAccount default",
)


PARTS = {
    "succeeded, 1 of 2": (GOOD, (*GOOD.changes[::2], *OF_RESUME)),
    "succeeded, 2 of 2": (GOOD, GOOD.changes[1::2]),
    "failed, 1 of 2": (FAILING, FAILING.changes[::2]),
    "failed, 2 of 2": (FAILING, FAILING.changes[1::2]),
}
"""The points of each test: neighbours are in different ones, so that a run goes on for a while after each."""


def test_there_are_no_other_changes(ground: Ground, between: Between) -> None:
    """So that whoever adds one has it tried, too."""
    killer = begun(ground, between, GOOD, "after", ())
    with PodWatch(ground) as pods:
        assert not killer.kills(ground.start())
        check(ground, ground.tool, pods, GOOD)
    assert set(killer.made) - NOTED_TOGETHER == set(GOOD.changes)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("part", PARTS)
def test_a_run_killed_at_each_change_ends_as_if_nothing_had_happened(
    ground: Ground, between: Between, part: str, when: When
) -> None:
    course, points = PARTS[part]
    killer = begun(ground, between, course, when, points)
    other = ground.another_tool(
        "another", cache=ground.folder / "another-cache", kubeconfig=between.kubeconfig
    )
    with PodWatch(ground) as pods:
        command: Running | None = ground.start()
        while command is not None and killer.kills(command):
            if when == "after":  # as whoever is slower than what is under way
                wait_for(lambda: all(map(has_ended, ground.all(JOB))), seconds=60, every=0.2)
            command = going_on(ground, killer, other)
        print("killed", *killer.killed, sep="\n")  # shown with whatever goes wrong
        if command is not None:
            assert killer.code == (course.state == "failed"), killer.text
        assert not killer.left, "these changes were not made"
        check(ground, other, pods, course)


def begun(ground: Ground, between: Between, course: Course, when: When, points: tuple[str, ...]) -> Killer:
    """The project, and the commands of its own machine led through the server between."""
    ground.commit(course.workflow, MODULES)
    ground.tool.extra["KUBECONFIG"] = str(between.kubeconfig)
    return Killer(ground, between, when, points)


def has_ended(job: Object) -> bool:
    return complete(job) or failed(job)


def going_on(ground: Ground, killer: Killer, other: Tool) -> Running | None:
    """What a user does after a kill; None: the run had ended.

    Once the files are in the cluster, that is done by another machine, which has never seen the repository.
    """
    if not ground.newest_run():
        return ground.start()
    if any(change.startswith("record RunEnded") for change in killer.made):
        return None
    moved = "create secrets source" in killer.made
    if moved and ground.repository.path.exists():
        shutil.rmtree(ground.repository.path)
    return Running(other if moved else ground.tool, "resume", ground.name)


def check(ground: Ground, other: Tool, pods: PodWatch, course: Course) -> None:
    """The run has ended as it would have undisturbed, and nothing is left that would not have been."""
    pods.check(**course.successes)
    status = other.good("status", ground.name, "-o", "json").json
    assert status["state"] == course.state
    assert {one["name"]: one["state"] for one in status["stages"]} == course.states
    assert [one["ready"] for one in status["services"]] == [2] * (course is GOOD)
    there = ground.objects(status["run"])
    sources = Counter({name: n for name, n in there.items() if name.startswith("Secret source-")})
    assert sources.total() == 1, there
    more = Counter({name: n for name, n in there.items() if name.startswith("ConfigMap run-RUN-events-")})
    known = (name.replace("PIPELINE", ground.name) for name in (*course.left, *ALWAYS))
    assert not there - sources - more - Counter(known), there


def test_before_the_files_are_in_the_cluster_only_the_machine_that_has_them_goes_on(
    ground: Ground, between: Between
) -> None:
    killer = begun(ground, between, FAILING, "after", ("create configmaps run-RUN",))
    assert killer.kills(ground.start())
    shutil.rmtree(ground.repository.path)
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    assert other("resume", ground.name).code == 2
    assert other.good("status", ground.name, "-o", "json").json["state"] == "interrupted"
    assert not killer.kills(Running(ground.tool, "resume", ground.name)) and killer.code == 1, killer.text
    assert other.good("status", ground.name, "-o", "json").json["state"] == "failed"


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
