"""A run left to the cluster: its controller is killed, it is stopped, it is followed from elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bodywork.run.events import Event, RunEnded, StageEnded, StageStarted
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import JOB, POD, Object
from bodywork.targets.kubernetes.manifests.controller import CONTROLLER
from crash_courses import FAILING
from crash_courses import MODULES as FAILING_MODULES
from ground import SERVER, Ground, Running
from pod_watch import PodWatch
from tool import Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

WORKFLOW = """workflow: first >> flaky, second >> serve
on_failure: tell
stages:
  first: {run: first.py}
  flaky: {run: flaky.py, batch: {retries: 2}}
  second: {run: second.py}
  serve: {run: serve.py, service: {port: 5000, startup_timeout: 60s}}
  tell: {run: first.py}
"""
MODULES = {
    "first.py": "print('made')\n",
    "flaky.py": 'import socket, sys\nsys.exit(socket.gethostname().split("-")[-2] == "1")\n',
    "second.py": "import time; time.sleep(1); print('done')\n",
    "serve.py": SERVER,
}
TWO = "workflow: work >> after\nstages:\n  work: {run: work.py}\n  after: {run: after.py}\n"
LONG = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


def controller(ground: Ground) -> Object | None:
    """The pod of the controller that runs."""
    for pod in ground.all(POD, **{labels.KIND: CONTROLLER}):
        for one in pod["status"].get("containerStatuses") or ():
            if "running" in one["state"] and "deletionTimestamp" not in pod["metadata"]:
                return pod
    return None


def kill_controller(ground: Ground, grace: int | None) -> None:
    """Where it has nothing left to do, it may have ended already: then nothing is killed."""

    def found() -> Object | bool | None:
        return controller(ground) or any(isinstance(one, RunEnded) for one in ground.events())

    pod = wait_for(found, seconds=60)
    if pod is True:
        return
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    ground.ask(lambda api: api.delete(POD, name, ground.name, grace=grace, uid=uid))


def ended(other: Tool, ground: Ground, seconds: float = 180) -> str:
    """The state of the newest run, once it has ended."""

    def state() -> str | None:
        found: str = other.good("status", ground.name, "-o", "json").json["state"]
        return found if found not in ("running", "interrupted") else None

    answer: str = wait_for(state, seconds=seconds, every=1)
    return answer


POINTS: dict[str, Callable[[list[Event]], bool]] = {
    "before anything ran": lambda events: True,
    "first runs": lambda events: any(isinstance(e, StageStarted) for e in events),
    "first has ended": lambda events: any(isinstance(e, StageEnded) for e in events),
    "both run": lambda events: sum(isinstance(e, StageStarted) for e in events) >= 3,
    "both have ended": lambda events: sum(isinstance(e, StageEnded) for e in events) >= 3,
    "it serves": lambda events: any(isinstance(e, StageEnded) and e.stage == "serve" for e in events),
}


OF_A_FAILURE: dict[str, Callable[[list[Event]], bool]] = {
    "it has failed": lambda events: any(isinstance(e, StageEnded) and e.stage == "bad" for e in events),
    "it tells": lambda events: any(isinstance(e, StageStarted) and e.stage == "tell" for e in events),
    "it has told": lambda events: any(isinstance(e, StageEnded) and e.stage == "tell" for e in events),
}


@pytest.mark.parametrize("point", OF_A_FAILURE)
def test_a_controller_that_goes_while_a_failure_is_told_is_replaced_and_tells_it_once(
    ground: Ground, point: str
) -> None:
    ground.commit(FAILING.workflow, FAILING_MODULES)
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    with PodWatch(ground) as pods:
        assert ground.deploy("--detach").code == 0
        wait_for(lambda: OF_A_FAILURE[point](ground.events()), seconds=120, every=0.1)
        kill_controller(ground, 0)
        assert ended(other, ground) == "failed"
        ground.gone(lambda: controller(ground))
        pods.check(**FAILING.successes)
    states = {one["name"]: one["state"] for one in ground.status()["stages"]}
    assert states == FAILING.states


@pytest.mark.parametrize("grace", [0, None], ids=["killed", "asked to go"])
@pytest.mark.parametrize("point", POINTS)
def test_a_controller_that_goes_is_replaced_and_goes_on(
    ground: Ground, point: str, grace: int | None
) -> None:
    ground.commit(WORKFLOW, MODULES)
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    with PodWatch(ground) as pods:
        answer = ground.deploy("--detach")
        assert answer.code == 0, answer.err
        wait_for(lambda: POINTS[point](ground.events()), seconds=120, every=0.1)
        kill_controller(ground, grace)
        assert ended(other, ground) == "succeeded"
        pods.check(first=1, flaky=1, second=1)
    status = other.good("status", ground.name, "-o", "json").json
    assert status["services"][0]["ready"] == 1
    ground.gone(lambda: controller(ground))
    there = ground.objects(status["run"])
    jobs = {name for name in there if name.startswith("Job ")}
    assert jobs <= {
        f"Job {name}" for name in ("first-RUN-1", "flaky-RUN-1", "flaky-RUN-2", "second-RUN-1")
    } | {"Job controller-RUN"}
    assert sum(name.startswith("Secret ") for name in there) == 1


def test_stop_before_the_controller_has_begun(ground: Ground) -> None:
    ground.commit(WORKFLOW, MODULES)
    ground.tool.extra["BODYWORK_IMAGE"] = "localhost/bodywork:not-there-python{python}"
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    assert ground.deploy("--detach").code == 0
    assert other.good("status", ground.name, "-o", "json").json["state"] == "running"
    answer = other.good("stop", ground.name)
    assert "is cancelled" in answer.out
    assert other.good("status", ground.name, "-o", "json").json["state"] == "cancelled"
    ground.gone(lambda: ground.all(POD) or ground.all(JOB))


def test_stop_in_the_middle_ends_what_runs(ground: Ground) -> None:
    ground.commit(TWO, {"work.py": LONG, "after.py": LONG})
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    assert ground.deploy("--detach").code == 0
    following = Running(other, "logs", ground.name, "--follow")
    following.says("begun", seconds=90)
    answer = other.good("stop", ground.name)
    assert "is cancelled" in answer.out
    following.good(60)
    status = other.good("status", ground.name, "-o", "json").json
    states = {one["name"]: one["state"] for one in status["stages"]}
    assert states == {"work": "cancelled", "after": "skipped"}
    ground.gone(lambda: [pod for pod in ground.all(POD) if pod["status"]["phase"] in ("Pending", "Running")])
    assert "work" not in str([job["metadata"]["name"] for job in ground.all(JOB)])


def test_followed_from_elsewhere_while_the_controller_is_replaced(ground: Ground) -> None:
    module = "import time\nfor n in range(30):\n    print('line', n, flush=True)\n    time.sleep(0.5)\n"
    ground.commit(TWO, {"work.py": module, "after.py": "print('after')\n"})
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    assert ground.deploy("--detach").code == 0
    following = Running(other, "logs", ground.name, "--follow")
    following.says("line 5", seconds=90)
    kill_controller(ground, 0)
    text = following.good(180)
    said = [line.partition("| ")[2] for line in text.splitlines() if "| line" in line]
    assert said == [f"line {n}" for n in range(30)]
    assert "| after" in text
    assert ended(other, ground) == "succeeded"
    assert other.good("logs", ground.name).out.count("line 29") == 1
