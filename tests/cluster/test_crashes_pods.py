"""Pods that come to harm: the stage runs again, never twice at once, and the user is told."""

from __future__ import annotations

import pytest

from bodywork.targets.kubernetes.kinds import JOB, POD, Object
from ground import Ground
from pod_watch import PodWatch
from tool import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ONE = "stages:\n  work: {run: work.py}\n"
SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(15)\nprint('done')\n"


def delete(ground: Ground, pod: Object, grace: int | None) -> None:
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    ground.ask(lambda api: api.delete(POD, name, ground.name, grace=grace, uid=uid))


def another(ground: Ground, harmed: set[str]) -> Object | None:
    """The pod that runs, if it is a new one."""
    pod = ground.running("work")
    return pod if pod and pod["metadata"]["uid"] not in harmed else None


@pytest.mark.parametrize("grace", [None, 0])
def test_a_deleted_pod_is_replaced(ground: Ground, grace: int | None) -> None:
    ground.commit(ONE, {"work.py": SLOW})
    with PodWatch(ground) as pods:
        running = ground.start()
        running.says("begun")
        delete(ground, wait_for(lambda: ground.running("work")), grace)
        text = running.good()
        pods.check(work=1)
    assert "work waits: its pod was deleted; it is started again" in text
    assert len(pods.pods) == 2


def test_an_evicted_pod_is_replaced(ground: Ground) -> None:
    ground.commit(ONE, {"work.py": SLOW})
    with PodWatch(ground) as pods:
        running = ground.start()
        running.says("begun")
        ground.evict(wait_for(lambda: ground.running("work")))
        text = running.good()
        pods.check(work=1)
    assert "work waits: it was evicted from its node" in text
    assert len(pods.pods) == 2


def test_a_pod_that_is_deleted_again_and_again(ground: Ground) -> None:
    ground.commit(ONE, {"work.py": SLOW})
    with PodWatch(ground) as pods:
        running = ground.start()
        harmed: set[str] = set()
        for grace in (0, None, 0):
            pod = wait_for(lambda: another(ground, harmed), seconds=60)
            harmed.add(pod["metadata"]["uid"])
            delete(ground, pod, grace)
        running.good()
        pods.check(work=1)
    assert len(pods.pods) == 4


def test_too_little_memory(ground: Ground) -> None:
    ground.commit(
        "stages:\n  work: {run: work.py, resources: {memory: 32Mi}, batch: {retries: 1}}\n",
        {"work.py": "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * 1_000_000)\n"},
    )
    with PodWatch(ground) as pods:
        answer = ground.deploy()
        assert pods.wrong == [] and len(pods.pods) == 2
    assert answer.code == 1
    assert "ran out of memory: its limit is 32Mi; raise it (resources.memory)" in answer.err + answer.out


def test_a_pod_deleted_while_the_command_is_dead(ground: Ground) -> None:
    ground.commit(ONE, {"work.py": SLOW})
    with PodWatch(ground) as pods:
        running = ground.start()
        running.says("begun")
        running.kill()
        delete(ground, wait_for(lambda: ground.running("work")), None)
        ground.tool.good("resume", ground.name)
        pods.check(work=1)
    assert ground.status()["state"] == "succeeded"


def test_a_job_deleted_by_somebody_is_said(ground: Ground) -> None:
    ground.commit(ONE, {"work.py": SLOW})
    running = ground.start()
    running.says("begun")
    (job,) = ground.all(JOB)
    ground.ask(lambda api: api.delete(JOB, job["metadata"]["name"], ground.name))
    assert running.end() == 1
    assert "its Job was deleted, and not by this command" in running.text
