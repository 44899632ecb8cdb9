"""Pieces of the cluster itself go: the API server, for a moment and for a minute, and a node.

These disturb everybody who uses the cluster meanwhile, so they need one of their own (`BODYWORK_TEST_CLUSTER`
names the folder of its scripts), and no other tests beside them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bodywork.targets.kubernetes.kinds import NODE
from ground import Ground
from pod_watch import PodWatch
from tool import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(
        not os.environ.get("BODYWORK_TEST_MACHINES"),
        reason="takes nodes and the API server away: set BODYWORK_TEST_MACHINES=1",
    ),
]

WORKFLOW = "workflow: a >> b >> c\nstages:\n  a: {run: slow.py}\n  b: {run: slow.py}\n  c: {run: slow.py}\n"
SLOW = "import time\nfor n in range(8):\n    print('line', n, flush=True)\n    time.sleep(0.5)\n"
LINES = [f"line {n}" for n in range(8)]
MARK = "crashes-here"


@pytest.fixture(scope="session")
def scripts() -> Path:
    """The scripts of the test cluster."""
    named = os.environ.get("BODYWORK_TEST_CLUSTER")
    if not named:
        pytest.skip(
            "no cluster whose machines may be ended: set BODYWORK_TEST_CLUSTER to its folder of scripts"
        )
    return Path(named)


class ApiServer:
    """The API server's process."""

    def __init__(self) -> None:
        self._folder = Path(os.environ.get("CLUSTER_DIR", "/opt/bodywork-cluster"))
        self._pid = int((self._folder / "run" / "kube-apiserver.pid").read_text())
        self._command = self._arguments()

    def _arguments(self) -> list[bytes]:
        """Of its process; empty when that has ended."""
        try:
            text = Path(f"/proc/{self._pid}/cmdline").read_bytes()
        except OSError:
            return []
        return text.rstrip(b"\0").split(b"\0") if text else []

    def stop(self) -> None:
        """As a machine that loses its power: nobody is told."""
        os.kill(self._pid, signal.SIGKILL)
        wait_for(lambda: not self._arguments(), seconds=20)

    def start(self) -> None:
        """The same command again, as `up` starts it: it has to outlive the tests."""
        pid, log = self._folder / "run" / "kube-apiserver.pid", self._folder / "log" / "kube-apiserver.log"
        begin = 'pid=$1; log=$2; shift 2; setsid "$@" >>"$log" 2>&1 </dev/null & echo $! >"$pid"'
        subprocess.run(["bash", "-c", begin, "start", pid, log, *self._command], check=True)
        self._pid = int(pid.read_text())


@pytest.fixture
def api_server(scripts: Path, ground: Ground) -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    subprocess.run([scripts / "up"], check=True, stdout=subprocess.DEVNULL)


def printed(text: str, stage: str) -> list[str]:
    return [line.partition("| ")[2] for line in text.splitlines() if line.startswith(f"{stage} | ")]


@pytest.mark.parametrize("seconds", [0, 60])
def test_the_api_server_goes_and_comes_back(ground: Ground, api_server: ApiServer, seconds: int) -> None:
    ground.commit(WORKFLOW, {"slow.py": SLOW})
    with PodWatch(ground) as pods:
        running = ground.start()
        running.says("a | line 2")
        api_server.stop()
        time.sleep(seconds)
        api_server.start()
        text = running.good()
        pods.check(a=1, b=1, c=1)
    assert [printed(text, stage) for stage in "abc"] == [LINES] * 3
    told = [line for line in text.splitlines() if "waiting for it, what runs in the cluster goes on" in line]
    assert len(told) == 1 and text.count("answers again, after") == 1, text


@pytest.fixture
def second_node(scripts: Path, ground: Ground) -> Iterator[str]:
    """A node that only this test's stage is drawn to, by its label, and that others keep away from."""
    subprocess.run([scripts / "node", "up"], check=True, stdout=subprocess.DEVNULL)
    name = "node-2"
    ground.ask(lambda api: api.patch(NODE, name, None, {"metadata": {"labels": {MARK: "yes"}}}))
    yield name
    subprocess.run([scripts / "node", "forget"], check=True)
    unmark = {"metadata": {"labels": {MARK: None}}}
    ground.ask(lambda api: api.patch(NODE, "node-1", None, unmark))


def test_the_node_of_a_batch_stage_is_lost(ground: Ground, scripts: Path, second_node: str) -> None:
    """Kubernetes notices it after some 40 s, and gives the pod up after the time that it tolerates that."""
    ground.commit(
        "stages:\n  work:\n    run: work.py\n    kubernetes:\n"
        f"      node_selector: {{{MARK}: 'yes'}}\n"
        "      tolerations:\n"
        "        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute,"
        " tolerationSeconds: 15}\n",
        {"work.py": "import time\nprint('begun', flush=True)\ntime.sleep(20)\nprint('done')\n"},
    )
    with PodWatch(ground) as pods:
        running = ground.start()
        running.says("begun", seconds=120)
        (pod,) = ground.pods("work")
        assert pod["spec"]["nodeName"] == second_node
        subprocess.run([scripts / "node", "down"], check=True)
        mark = {"metadata": {"labels": {MARK: "yes"}}}
        ground.ask(lambda api: api.patch(NODE, "node-1", None, mark))
        running.says(f"work waits: node {second_node} does not answer", seconds=90)
        text = running.good()
        pods.check(work=1)
    assert "Kubernetes gives it up after 15 s, and the stage is started on another one" in text
    assert f"node {second_node} was given up; the stage is started on another one" in text
    assert len(pods.pods) == 2
