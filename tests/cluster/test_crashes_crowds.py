"""Several commands at once: one run of a pipeline at a time, many pipelines, and a lease that is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from between import Between
from bodywork.run.events import StageStarted
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.answers import ConflictError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import JOB, LEASE, NAMESPACE, POD
from bodywork.targets.kubernetes.lease import lease_object
from bodywork.targets.kubernetes.lease.holder import Identity
from ground import Ground
from loopback import Asked
from pod_watch import PodWatch
from tool import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ONE = "stages:\n  work: {run: work.py}\n"
SLOW = "import time\nprint('begun', flush=True)\ntime.sleep({seconds})\n"


def test_a_second_deploy_is_refused_by_name_or_waits(ground: Ground) -> None:
    ground.commit(ONE, {"work.py": SLOW.format(seconds=20)})
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    with PodWatch(ground) as pods:
        first = ground.start()
        first.says("begun")
        run = ground.newest_run()
        refused = other("deploy", str(ground.repository.path))
        waiting = ground.start("--wait", tool=other)
        first.good()
        waiting.good()
        assert pods.successes() == {"work": 2}
    assert refused.code == 2
    assert f"pipeline {ground.name} is busy: run {run} (process {first.child.pid} on" in refused.err
    assert f"bodywork stop {ground.name}" in refused.err


@pytest.fixture
def five(ground: Ground) -> Iterator[list[str]]:
    names = [f"{ground.name}-{number}" for number in range(5)]
    yield names

    async def remove(api: Api) -> None:
        for name in names:
            await api.delete(NAMESPACE, name)

    ground.ask(remove)


def test_five_pipelines_at_once(ground: Ground, five: list[str]) -> None:
    ground.repository.commit(
        {
            **{
                f"{name}.yaml": f'version: "2"\nname: {name}\npython: "3.12"\nworkflow: one >> two\n'
                "stages:\n  one: {run: one.py}\n  two: {run: one.py}\n"
                for name in five
            },
            "one.py": "print('hello')\n",
        }
    )
    children = [ground.start("--file", f"{name}.yaml") for name in five]
    for child in children:
        assert child.good().count("| hello") == 2
    states = {name: ground.tool.good("status", name, "-o", "json").json["state"] for name in five}
    assert states == dict.fromkeys(five, "succeeded")


def test_a_run_that_was_taken_over_leaves_the_cluster_alone(ground: Ground, between: Between) -> None:
    ground.commit(
        "workflow: work >> after\nstages:\n  work: {run: work.py}\n  after: {run: work.py}\n",
        {"work.py": SLOW.format(seconds=120)},  # nobody waits for its end
    )
    ground.tool.extra["KUBECONFIG"] = str(between.kubeconfig)
    running = ground.start()
    running.says("begun")
    wait_for(lambda: any(isinstance(one, StageStarted) for one in ground.events()))
    (before,) = ground.pods("work")
    asked: list[str] = []

    def heard(one: Asked, code: int) -> None:
        if one.method != "GET" and "/leases/" not in one.path:
            asked.append(f"{one.method} {one.path}")

    between.heard = heard
    ground.ask(lambda api: take_over(api, ground))
    assert running.end(60) == 2
    assert "another command has taken pipeline" in running.text
    assert "Traceback" not in running.text and "never retrieved" not in running.text
    assert asked == []
    (pod,) = ground.pods("work")
    assert pod["metadata"]["uid"] == before["metadata"]["uid"]
    assert "deletionTimestamp" not in pod["metadata"]
    assert len(ground.all(JOB)) == 1 and not ground.all(POD, **{labels.STAGE: "after"})


async def take_over(api: Api, ground: Ground) -> None:
    for _ in range(20):
        lease = await api.get(LEASE, lease_object.name_of(ground.name), ground.name)
        assert lease is not None
        mine = lease_object.held(
            lease,
            namespace=ground.name,
            pipeline=ground.name,
            run="20260101-000000-0000",
            identity=Identity(who="process 1 on another machine"),
            token="another",
        )
        with suppress(ConflictError):  # it has just been renewed
            await api.replace(mine)
            return
    raise AssertionError("the lease could not be taken over")
