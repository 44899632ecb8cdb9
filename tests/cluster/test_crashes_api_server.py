"""The API server goes away in the middle of a run: for a moment, and for a minute.

That disturbs everybody who uses the cluster meanwhile, so it needs one of its own (`BODYWORK_TEST_CLUSTER`
names the folder of its scripts), and no other tests beside it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ground import Ground, Running
from pod_watch import PodWatch
from slow_chain import LINES, SLOW, WORKFLOW, printed
from tool import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(
        not os.environ.get("BODYWORK_TEST_CLUSTER"),
        reason="no cluster whose API server may be ended: set BODYWORK_TEST_CLUSTER to its folder of scripts",
    ),
]

PORT = 6443


class ApiServer:
    """The API server's process. `folder` is that of the test cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = int((folder / "run" / "kube-apiserver.pid").read_text())
        self._command = Path(f"/proc/{self._pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        assert self._command[0].endswith(b"kube-apiserver"), self._command

    def stop(self) -> None:
        """As a machine that loses its power: nobody is told.

        A process that was killed gives its port back after it has lost its command line, and a new
        one that finds the port taken ends at once.
        """
        os.kill(self._pid, signal.SIGKILL)
        wait_for(_port_is_free, seconds=30)

    def start(self) -> None:
        """The same command again, as `up` starts it: it has to outlive the tests."""
        pid, log = self._folder / "run" / "kube-apiserver.pid", self._folder / "log" / "kube-apiserver.log"
        begin = 'pid=$1; log=$2; shift 2; setsid "$@" >>"$log" 2>&1 </dev/null & echo $! >"$pid"'
        subprocess.run(["bash", "-c", begin, "start", pid, log, *self._command], check=True, timeout=30)
        self._pid = int(pid.read_text())

    def runs(self) -> bool:
        with suppress(OSError):
            return b"kube-apiserver" in Path(f"/proc/{self._pid}/cmdline").read_bytes()
        return False


def _port_is_free() -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        with suppress(OSError):
            one.bind(("", PORT))
            return True
    return False


@pytest.fixture
def api_server(ground: Ground) -> Iterator[ApiServer]:
    server = ApiServer(Path(ground.environment["KUBECONFIG"]).parent)
    yield server
    if not server.runs():  # the test has failed in between
        server.start()
    ready = ["kubectl", "get", "--raw", "/readyz", "--request-timeout=2s"]
    wait_for(lambda: subprocess.run(ready, capture_output=True).returncode == 0, seconds=60, every=0.5)


@pytest.fixture
def running(ground: Ground) -> Iterator[Running]:
    """A run of three stages, the first of which is under way."""
    ground.commit(WORKFLOW, {"slow.py": SLOW})
    started = ground.start()
    yield started
    started.kill()


@pytest.mark.parametrize("seconds", [0, 60])
def test_the_api_server_goes_and_comes_back(
    ground: Ground, api_server: ApiServer, running: Running, seconds: int
) -> None:
    with PodWatch(ground) as pods:
        running.says("a | line 2")
        api_server.stop()
        time.sleep(seconds)
        api_server.start()
        text = running.good()
        pods.check(a=1, b=1, c=1)
    assert [printed(text, stage) for stage in "abc"] == [LINES] * 3, text
    away = text.count("waiting for it, what runs in the cluster goes on")
    back = text.count("answers again, after")
    assert away == back <= 1, text  # one that is back at once need not be told of
    assert seconds == 0 or away == 1, text
    there = ground.objects(ground.newest_run())
    assert {name: n for name, n in there.items() if name.startswith("Job ")} == {
        f"Job {stage}-RUN-1": 1 for stage in "abc"
    }
    assert there["ConfigMap run-RUN"] == 1 and sum(name.startswith("Secret ") for name in there) == 1, there
