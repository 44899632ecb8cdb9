"""Rollouts that fail, are stopped or killed on a cluster: the release before serves on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from subprocess import Popen

import pytest

from bodywork.targets.kubernetes.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from served import SERVER, Served, client, served
from tool import Repository, Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

THINKS = "import time\nprint('thinking')\ntime.sleep(600)\n"


@pytest.fixture
def web(kubeconfig: object, tool: Tool, repository: Repository) -> Iterator[Served]:
    with served(tool, repository, "rollouts") as made:
        yield made


def serves(web: Served, release: str) -> None:
    """Nothing but `release` is there, and it is well."""
    (service,) = web.services().values()
    assert (service["ready"], service["replicas"], service["release"]) == (2, 2, release)
    assert {pod["metadata"]["labels"]["bodywork/run"] for pod in web.pods()} == {release}
    assert all(one["spec"]["replicas"] == 2 for one in web.list(DEPLOYMENT))


def failed(web: Served, *arguments: str) -> tuple[str, float]:
    """Why the release of a deploy failed, and the seconds from its start to its end."""
    (stage,) = web.deploy("-o", "json", *arguments, code=1).json["stages"]
    ended = datetime.fromisoformat(stage["ended"])
    began = datetime.fromisoformat(stage["started"] or stage["ended"])  # no module began: 0
    return stage["reason"], (ended - began).total_seconds()


def run_of(web: Served) -> str:
    run: str = web.tool.good("runs", web.name, "-o", "json").json[0]["run"]
    return run


def test_a_release_that_never_becomes_ready(web: Served, namespace: str) -> None:
    web.commit("one")
    web.deploy()
    first = run_of(web)
    with client(namespace, web.url()) as asking:
        new = web.files("two", service=", replicas: 2, health: /", module=THINKS)
        new["bodywork.yaml"] = new["bodywork.yaml"].replace("120s", "15s")
        web.repository.commit(new)
        reason, seconds = failed(web)
        assert reason == (
            "was not ready within 15s (service.startup_timeout): replica 1 does not answer well to GET / "
            "at port 5000; the last that it printed:\n  thinking"
        )
        assert seconds > 15
        serves(web, first)
        now = asking.now()
        assert (now["failed"], now["failures"], set(now["counts"])) == (0, [], {"one"})


def test_a_release_that_exits_at_once(web: Served) -> None:
    web.commit("one")
    web.deploy()
    first = run_of(web)
    web.commit("two", module="print('no model here')\nraise SystemExit(3)\n")
    reason, seconds = failed(web)
    assert "exited with 3 before it was ready; the last that it printed:\n" in reason
    assert reason.endswith("  no model here")
    assert seconds < 20
    serves(web, first)


def test_an_image_that_is_not_there(web: Served) -> None:
    web.commit("one")
    web.deploy()
    first = run_of(web)
    web.commit("two")
    reason, _ = failed(web, "--image", "localhost/nobody-built-this:python{python}")
    assert "image localhost/nobody-built-this:python3.12 cannot be pulled" in reason
    assert "scripts/image localhost/nobody-built-this:python3.12 --python 3.12" in reason
    serves(web, first)


def test_a_first_release_that_fails_leaves_nothing(web: Served) -> None:
    web.commit("one", module="raise SystemExit(3)\n", service=", replicas: 2, autoscale: {max: 4}")
    web.deploy(code=1)
    for kind in (DEPLOYMENT, SERVICE, POD_DISRUPTION_BUDGET, HORIZONTAL_POD_AUTOSCALER):
        assert web.list(kind) == []
    wait_for(lambda: not web.list(POD), seconds=60, every=0.5)
    assert web.services() == {}


def begun(web: Served, release: str) -> bool:
    """Whether there is a pod of another release."""
    return any(pod["metadata"]["labels"]["bodywork/run"] != release for pod in web.pods())


@contextmanager
def in_the_middle(web: Served, release: str) -> Iterator[Popen[str]]:
    """A deploy of a release that needs 25 seconds, of which the first pod is there."""
    web.commit("two", module=f"RELEASE = 'two'\nimport time\ntime.sleep(25)\n{SERVER}")
    with web.tool.start("deploy", str(web.repository.path)) as command:
        try:
            wait_for(lambda: begun(web, release), seconds=60, every=0.3)
            yield command
        finally:
            command.kill()


def test_killed_in_the_middle_and_resumed(web: Served, namespace: str) -> None:
    web.commit("one")
    web.deploy()
    first = run_of(web)
    with client(namespace, web.url()) as asking:
        with in_the_middle(web, first):
            pass  # killed
        status = web.tool.good("status", web.name, "-o", "json").json
        assert (status["state"], status["services"][0]["release"]) == ("interrupted", first)
        web.tool.good("resume", web.name, timeout=240)
        asking.until_silent("one")
        now = asking.now()
        assert (now["failed"], now["failures"], set(now["counts"])) == (0, [], {"one", "two"})
    serves(web, run_of(web))


def test_interrupted_in_the_middle(web: Served, namespace: str) -> None:
    web.commit("one")
    web.deploy()
    first = run_of(web)
    with client(namespace, web.url()) as asking:
        with in_the_middle(web, first) as command:
            command.send_signal(signal.SIGINT)
            command.communicate(timeout=120)  # the new pods have gone, each within its grace
        assert command.returncode == 130
        serves(web, first)
        now = asking.now()
        assert (now["failed"], now["failures"], set(now["counts"])) == (0, [], {"one"})
    assert web.tool.good("runs", web.name, "-o", "json").json[0]["state"] == "cancelled"
