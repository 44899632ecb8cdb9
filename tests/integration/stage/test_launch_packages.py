"""The runtime makes environments from locks, in a cache that many pods may share."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uv

from .conftest import interpreter
from .pod import Pod

pytestmark = pytest.mark.network

SIX = "six==1.16.0 --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n"
OTHER = SIX.replace("sha256:8abb", "sha256:0000")
ABSENT = "bodywork-has-no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n"
SHOW = "import six, sys; print(six.__version__, sys.prefix)"
DIGEST = "5" * 64


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return ready(Pod(tmp_path / "pod"))


def ready(pod: Pod, text: str = SIX, **more: object) -> Pod:
    pod.variables = {"BODYWORK_UV": uv.find_uv_bin(), "PATH": "/usr/bin:/bin"}
    pod.change = {"lock": pod.lock(text, digest=DIGEST, **more)}
    return pod


def environments(pod: Pod) -> list[str]:
    cache = pod.cache or pod.folder / "cache"
    return sorted(path.name for path in (cache / "environments").iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("version", ["3.8", "3.12"])
def test_the_packages_of_the_lock_are_there_and_found_again(version: str, tmp_path: Path) -> None:
    pod = ready(Pod(tmp_path, python=interpreter(version), version=version))
    first = pod.run(SHOW)
    (name,) = environments(pod)
    assert first.own == [f"1.16.0 {tmp_path}/cache/environments/{name}"], first.output
    assert name.startswith(DIGEST[:32] + "-")
    assert any("Installed" in line for line in first.ours)
    pod.variables["BODYWORK_UV"] = "/nowhere"  # what is there needs neither uv nor network
    second = pod.run(SHOW)
    assert (second.code, second.own, len(second.ours)) == (0, first.own, 1)


def test_another_environment_takes_the_packages_from_the_cache(pod: Pod) -> None:
    pod.run(SHOW)
    shutil.rmtree(pod.folder / "cache" / "environments")
    pod.variables["HTTPS_PROXY"] = "http://127.0.0.1:9"
    assert pod.run(SHOW).code == 0


def test_pods_that_start_at_once_share_one_build(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    pods = [ready(Pod(tmp_path / f"pod-{number}", cache=cache)) for number in range(4)]
    for pod in pods:
        pod.project({"pipeline/train.py": SHOW})
    all_ended = [running.wait() for running in [pod.start() for pod in pods]]
    assert [ended.code for ended in all_ended] == [0] * 4
    assert len({ended.own[0] for ended in all_ended}) == 1
    assert sum("Installed" in ended.output for ended in all_ended) == 1
    assert sum("waiting for another pod" in ended.output for ended in all_ended) <= 3
    assert len(environments(pods[0])) == 1


def test_a_killed_pod_leaves_nothing_half_made(pod: Pod) -> None:
    pod.project({"pipeline/train.py": SHOW})
    folder = pod.folder / "cache" / "environments"
    running = pod.start()
    deadline = time.monotonic() + 20
    while not list(folder.glob("*.tmp/env/bin/python")):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    running.kill()
    (folder / "another-env.1234.tmp").mkdir()
    ended = pod.run(SHOW)
    assert ended.code == 0
    assert [name.rpartition(".")[2] for name in environments(pod)] == environments(pod)


def test_scripts_of_packages_run(tmp_path: Path) -> None:
    text = "chardet==5.2.0 --hash=sha256:e1cf59446890a00105fe7b7912492ea04b6e6f06d4b742b2c788469e34c82970\n"
    pod = ready(Pod(tmp_path), text)
    ended = pod.run("import subprocess; print(subprocess.run(['chardetect', '--version']).returncode)")
    assert ended.own[-1] == "0", ended.output


def test_a_package_that_does_not_exist_is_named(pod: Pod) -> None:
    ended = ready(pod, ABSENT).run(SHOW)
    assert (ended.code, ended.said["phase"], ended.said["retry"]) == (97, "preparing", False)
    assert ended.said["reason"].startswith("its packages cannot be had for Python 3.")
    assert "bodywork-has-no-such-package was not found" in ended.said["reason"]
    assert environments(pod) == []


def test_another_file_than_the_locked_one_is_refused(pod: Pod) -> None:
    ended = ready(pod, OTHER).run(SHOW)
    assert (ended.code, ended.said["retry"]) == (97, False)
    assert ended.said["reason"].startswith("six==1.16.0: the index gives another file than the one that was")


def test_an_index_that_cannot_be_reached_is_worth_another_attempt(pod: Pod) -> None:
    pod.variables["UV_INDEX_URL"] = "http://user:open-sesame@127.0.0.1:9/simple"
    pod.variables["UV_HTTP_RETRIES"] = "0"
    ended = pod.run(SHOW)
    assert (ended.code, ended.said["retry"]) == (97, True)
    assert ended.said["reason"].startswith("the package index cannot be reached from the pod:")
    assert "sesame" not in ended.output + ended.said["reason"]


def test_uv_ends_with_a_pod_that_is_asked_to_end(pod: Pod) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pod.variables["UV_INDEX_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        pod.project({"pipeline/train.py": SHOW})
        running = pod.start()
        silent.settimeout(20)
        asked, _ = silent.accept()
        with asked:
            running.send(signal.SIGTERM)
            ended = running.wait()
            asked.settimeout(5)
            while asked.recv(4096):  # its request, and then the end of the connection
                pass
    assert (ended.code, ended.said["reason"]) == (143, "was stopped while preparing")
    assert environments(pod) == []


def test_an_image_without_uv_is_told_so(pod: Pod) -> None:
    del pod.variables["BODYWORK_UV"]
    ended = pod.run(SHOW)
    assert (ended.code, ended.said["retry"]) == (97, False)
    assert ended.said["reason"].startswith("its image has no uv, which installs packages")


def test_uv_may_be_brought_by_a_container_before(pod: Pod) -> None:
    del pod.variables["BODYWORK_UV"]
    (pod.work / "bin").mkdir(parents=True)
    (pod.work / "bin" / "uv").symlink_to(uv.find_uv_bin())
    assert pod.run(SHOW).code == 0


def test_a_notebook_runs(tmp_path: Path) -> None:
    command = [uv.find_uv_bin(), "pip", "compile", "-", "--generate-hashes", "--python", sys.executable]
    asked = subprocess.run(command, input="nbclient\nipykernel\n", capture_output=True, text=True)
    pod = ready(Pod(tmp_path), asked.stdout)
    cell = {"cell_type": "code", "source": "print('six times', 7)", "metadata": {}, "outputs": []}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    pod.change["run"] = "explore.ipynb"
    pod.project({"explore.ipynb": json.dumps(document)})
    ended = pod.start().wait()
    assert ended.code == 0, ended.output
    assert "six times 7" in ended.own
    assert "six times 7" in (pod.work / "explore.ipynb").read_text()
