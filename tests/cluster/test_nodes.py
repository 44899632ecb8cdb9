"""Two nodes, of which one is drained, and then loses its power: what services, batch stages and commands do.

They need a second node, which `node` of the test cluster adds and takes away (`BODYWORK_TEST_CLUSTER` names
its folder); nobody else may use the cluster meanwhile. Adding a node takes a minute, and Kubernetes another
one to notice that it is lost. So all tests share one, in their order: what the loss is to show is begun
before it, and each test looks at one part of what came of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, JOB, POD
from bodywork.targets.kubernetes.manifests.controller import CONTROLLER
from ground import Ground, Running
from namespaces import new_namespace
from pod_watch import PodWatch
from second_node import HOME, MARK, OTHER, SecondNode
from served import Client, Served, ask_cluster, client, served
from tool import Repository, Tool, wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(
        not os.environ.get("BODYWORK_TEST_CLUSTER"),
        reason="no second node: set BODYWORK_TEST_CLUSTER to the folder of the test cluster's scripts",
    ),
]

NOTICED = 75.0
"""Seconds after which Kubernetes must have noticed that a node is lost, which takes it 40 to 50."""

QUIET = 20.0
"""Seconds without a failure after which none is expected any more: more than a request's 15."""

THERE = f"kubernetes:\n  node_selector: {{{MARK}: 'yes'}}"
WORK = "import time\nprint('begun', flush=True)\ntime.sleep(20)\nprint('done')\n"
AFTER = """workflow: work >> after
stages:
  work: {run: work.py, kubernetes: {node_selector: {kubernetes.io/hostname: node-1}}}
  after: {run: after.py}
"""
TOLERANT = (
    "      tolerations:\n"
    "        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute,"
    " tolerationSeconds: 15}\n"
)


CONTROLLERS = {labels.KIND: CONTROLLER}


def batch(more: str = "") -> str:
    """A stage that is drawn to the node that has the mark."""
    return (
        f"stages:\n  work:\n    run: work.py\n    kubernetes:\n      node_selector: {{{MARK}: 'yes'}}\n{more}"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def second_node(kubeconfig: Path) -> Iterator[SecondNode]:
    node = SecondNode()
    try:
        node.add()
        yield node
    finally:
        node.forget()


@contextmanager
def service(folder: Path, cache: Path, word: str) -> Iterator[Served]:
    """A project of its own."""
    home, project = folder / word / "home", folder / word / "project"
    home.mkdir(parents=True)
    project.mkdir()
    repository = Repository(project)
    repository.git("init", "--quiet", "--initial-branch", "main")
    with served(Tool(home=home, cache=cache), repository, word) as made:
        yield made


@contextmanager
def ground(folder: Path, cache: Path, word: str) -> Iterator[Ground]:
    (folder / word).mkdir()
    made = Ground(name=f"{word}-{os.getpid()}", folder=folder / word, cache=cache, environment=os.environ)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def web(second_node: SecondNode, folder: Path, shared_cache: Path) -> Iterator[Served]:
    """A service with a replica on each node."""
    with service(folder, shared_cache, "web") as made:
        made.commit("one")
        made.deploy()
        yield made


@pytest.fixture(scope="module")
def asking(web: Served) -> Iterator[Client]:
    """Somebody who asks it all the time, from the node that stays."""
    with new_namespace() as namespace, client(namespace, web.url(), node=HOME) as made:
        yield made


def nodes(web: Served) -> list[str]:
    """Where the ready pods of the service are."""
    ready = [
        pod
        for pod in web.pods()
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])
    ]
    return sorted(pod["spec"]["nodeName"] for pod in ready)


def test_no_request_is_lost_when_a_node_is_drained(
    web: Served, asking: Client, second_node: SecondNode
) -> None:
    assert nodes(web) == [HOME, OTHER]  # the replicas are spread
    second_node.drain()
    wait_for(lambda: nodes(web) == [HOME, HOME], seconds=60, every=0.5)
    before = asking.asked()
    wait_for(lambda: asking.asked() > before + 200, seconds=20, every=0.5)
    now = asking.now()
    assert (now["failed"], now["failures"]) == (0, [])


@dataclass(frozen=True, kw_only=True)
class Lost:
    """What goes on since the node was lost, at `since` (time.monotonic)."""

    since: float
    failed: int
    rerun: tuple[Ground, Running, PodWatch]
    stopped: tuple[Ground, Running, Running]
    deleted: tuple[Served, Running]
    detached: tuple[Ground, Running, PodWatch]


@pytest.fixture(scope="module")
def lost(
    web: Served, asking: Client, second_node: SecondNode, folder: Path, shared_cache: Path
) -> Iterator[Lost]:
    """On the node run a replica of `web`, two batch stages, a service and a controller when it goes."""
    with ExitStack() as stack:
        rerun, stopped, detached = (
            stack.enter_context(ground(folder, shared_cache, word))
            for word in ("rerun", "stopped", "detached")
        )
        deleted = stack.enter_context(service(folder, shared_cache, "deleted"))
        second_node.add()
        web.commit("two")
        web.deploy()
        assert nodes(web) == [HOME, OTHER]
        asking.until_silent("one")
        deleted.commit("one", service="", stage=THERE)
        deleted.deploy()
        seen = stack.enter_context(PodWatch(detached))
        controlled_on_the_other(detached, second_node)
        following = Running(detached.another_tool("another"), "logs", detached.name, "--follow")
        stack.callback(following.kill)
        rerun.commit(batch(TOLERANT), {"work.py": WORK})
        stopped.commit(batch(), {"work.py": WORK.replace("20", "600")})
        pods = stack.enter_context(PodWatch(rerun))
        running = [one.start() for one in (rerun, stopped)]
        for one in running:
            stack.callback(one.kill)
            one.says("begun", seconds=120)
        following.says("begun", seconds=120)
        for one in (*rerun.pods("work"), *stopped.pods("work"), *deleted.pods()):
            assert one["spec"]["nodeName"] == OTHER
        failed = asking.now()["failed"]
        second_node.lose()
        since = time.monotonic()
        second_node.mark(HOME)
        stopping = Running(stopped.another_tool("another"), "stop", stopped.name)
        deleting = Running(deleted.tool, "delete", deleted.name, "--yes")
        for one in (stopping, deleting):
            stack.callback(one.kill)
        yield Lost(
            since=since,
            failed=failed,
            rerun=(rerun, running[0], pods),
            stopped=(stopped, running[1], stopping),
            deleted=(deleted, deleting),
            detached=(detached, following, seen),
        )


def controlled_on_the_other(detached: Ground, second_node: SecondNode) -> None:
    """Leave a run to the cluster, with its controller on the node that will be lost and its stages here."""
    detached.commit(AFTER, {"work.py": WORK.replace("20", "60"), "after.py": "print('after')\n"})
    with second_node.alone():
        assert detached.deploy("--detach").code == 0
        wait_for(lambda: detached.all(POD, **CONTROLLERS) and held_on(detached), seconds=60, every=0.3)
    assert held_on(detached) == OTHER


def held_on(detached: Ground) -> str:
    """The node of the newest pod of a controller."""
    pods = sorted(detached.all(POD, **CONTROLLERS), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return str(pods[-1]["spec"].get("nodeName", ""))


def test_who_follows_a_run_is_told_that_the_node_of_its_controller_is_lost(lost: Lost) -> None:
    detached, following, _ = lost.detached
    told = f"node {OTHER} does not answer; if it does not come back, Kubernetes gives it up after 30 s"
    following.says(f"{told}, and another pod goes on with the run", seconds=90)
    status = detached.status()
    assert status["state"] == "running" and f"node {OTHER}" in status["reason"], status


def test_the_replicas_on_the_other_node_serve_on(lost: Lost, asking: Client) -> None:
    assert lost.failed == 0  # neither by the drain nor by the rollout after it
    before = asking.now()["counts"]["two"]
    seconds = seconds_of_failures(asking, lost)
    print(f"node lost: {asking.now()['failed']} requests failed, the last {seconds:.0f} s later")
    assert asking.now()["counts"]["two"] > before + 200


def seconds_of_failures(asking: Client, lost: Lost) -> float:
    """When the last request failed, once none has failed for a while."""
    known, last = lost.failed, 0.0
    while (passed := time.monotonic() - lost.since) < NOTICED or passed - last < QUIET:
        time.sleep(1)
        if (now := asking.now()["failed"]) > known:
            known, last = now, passed
            assert last < NOTICED + QUIET, f"requests still fail {last:.0f} s after the node was lost"
    return last


def test_a_batch_stage_runs_again_once_its_node_is_given_up(lost: Lost) -> None:
    rerun, running, pods = lost.rerun
    running.says(f"work waits: node {OTHER} does not answer", seconds=90)
    text = running.good()
    pods.check(work=1)
    assert "Kubernetes gives it up after 15 s, and the stage is started on another one" in text
    assert f"node {OTHER} was given up; the stage is started on another one" in text
    assert len(pods.pods) == 2
    assert [pod["spec"]["nodeName"] for pod in rerun.pods("work")] == [HOME]


def test_a_run_left_to_the_cluster_goes_on_once_the_node_of_its_controller_is_given_up(lost: Lost) -> None:
    detached, following, pods = lost.detached
    text = following.good()
    assert f"node {OTHER} was given up; another pod goes on with the run" in text, text
    assert "after | after" in text, text
    pods.check(work=1, after=1)
    assert len(pods.pods) == 2
    status = wait_for(lambda: (now := detached.status())["state"] == "succeeded" and now, seconds=60, every=1)
    assert status["reason"] == "" and held_on(detached) == HOME


def test_stop_says_what_it_waits_for_and_ends(lost: Lost) -> None:
    stopped, running, stopping = lost.stopped
    text = stopping.good(120)
    assert f"node {OTHER} does not answer" in text and "is cancelled" in text, text
    assert running.end(60) in (1, 130)
    assert f"node {OTHER} does not answer" in running.text, running.text
    assert not stopped.all(JOB) and not stopped.pods("work")


def test_delete_says_what_it_leaves_to_kubernetes(lost: Lost) -> None:
    deleted, deleting = lost.deleted
    text = deleting.good(120)
    (pod,) = ask_cluster(lambda api: api.list(POD, deleted.name))
    assert f"waiting for pod {pod['metadata']['name']} on node {OTHER} to end" in text, text
    assert f"node {OTHER} does not answer: nobody sees pod {pod['metadata']['name']} on it end" in text, text
    assert f"deleted {deleted.name}" in text
    assert not ask_cluster(lambda api: api.list(DEPLOYMENT, deleted.name))
