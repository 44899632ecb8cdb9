"""The image runs a stage as a cluster with strict rules wants it, and has what it should have."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NAMESPACE, POD

STAGE = Path(__file__).parents[2] / "src" / "bodywork" / "stage"
PATIENCE = 120.0
SIX = "six==1.16.0 --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n"
MODULE = """
import os, six, subprocess, sys
print("six", six.__version__, "user", os.getuid(), "process", os.getppid())
print("told", "BODYWORK_LAUNCH" in os.environ)
for command in ("uv --version", "git --version", "ssh -V", "bodywork --version"):
    print(command, subprocess.run(command.split()).returncode, flush=True)
"""


@pytest.fixture(params=["3.11", "3.12"])
def image(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An image and its Python's version."""
    name = os.environ.get("BODYWORK_IMAGE")
    if not name or "{python}" not in name:
        pytest.skip("no image: set BODYWORK_IMAGE, with {python} for the version of Python")
    return name.replace("{python}", request.param), request.param


def archive(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            file.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def source(namespace: str, module: str) -> dict[str, Any]:
    files = {path.name: path.read_bytes() for path in STAGE.glob("*.py")}
    files["project.tar.gz"] = archive({"pipeline/train.py": module})
    files["lock.gz"] = gzip.compress(SIX.encode())
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "source", "namespace": namespace},
        "immutable": True,
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }


def launch(python: str, **more: Any) -> str:
    lock = {"file": "/bodywork/lock.gz", "digest": "5" * 64, "form": "requirements", "hashed": True}
    order = {
        "stage": "train",
        "source": "/bodywork/project.tar.gz",
        "project": "/work/project",
        "run": "pipeline/train.py",
        "args": [],
        "python": python,
        "lock": {**lock, "build_as_of": None, "undated": [], "empty": False},
        "cache": "/cache",
        "outputs": [],
        "inputs": [],
        "timeout": 60.0,
        "prepare_timeout": 60.0,
        "drain": 0.0,
        "secrets": [],
        "port": None,
    }
    return json.dumps({**order, **more})


def pod(namespace: str, image: str, order: str, memory: str = "512Mi") -> dict[str, Any]:
    container = {
        "name": "stage",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-I", "-S", "/bodywork/launch.py"],
        "env": [{"name": "BODYWORK_LAUNCH", "value": order}],
        "resources": {"limits": {"memory": memory}, "requests": {"memory": "64Mi", "cpu": "50m"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": name, "mountPath": f"/{name}", "readOnly": name == "bodywork"}
            for name in ("bodywork", "work", "cache")
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stage", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "bodywork", "secret": {"secretName": "source"}},
                {"name": "work", "emptyDir": {}},
                {"name": "cache", "emptyDir": {}},
            ],
        },
    }


async def run(api: Api, namespace: str, wanted: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """How the container ended, and what it printed."""
    await api.create(wanted)
    deadline = time.monotonic() + PATIENCE
    while True:
        found = await api.get(POD, "stage", namespace)
        assert found is not None
        for status in found["status"].get("containerStatuses", ()):
            if ended := status["state"].get("terminated"):
                printed = [piece async for piece in api.log("stage", namespace, container="stage")]
                return ended, b"".join(printed).decode()
        assert time.monotonic() < deadline, json.dumps(found["status"], indent=1)
        await asyncio.sleep(0.2)


@pytest.fixture
async def restricted(api: Api, namespace: str) -> str:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await api.patch(NAMESPACE, namespace, None, {"metadata": {"labels": labels}})
    return namespace


@pytest.mark.cluster
async def test_a_stage_runs_under_strict_rules(api: Api, restricted: str, image: tuple[str, str]) -> None:
    name, python = image
    await api.create(source(restricted, MODULE))
    ended, printed = await run(api, restricted, pod(restricted, name, launch(python)))
    message = json.loads(ended["message"])
    assert ended["exitCode"] == 0, printed
    assert (message["phase"], message["reason"]) == ("module", "")
    lines = printed.splitlines()
    assert "six 1.16.0 user 10001 process 1" in lines
    assert {"told False", "uv --version 0", "git --version 0", "ssh -V 0", "bodywork --version 0"} <= set(
        lines
    )


@pytest.mark.cluster
async def test_a_stage_that_needs_too_much_memory_is_told_so(
    api: Api, restricted: str, image: tuple[str, str]
) -> None:
    name, python = image
    await api.create(source(restricted, "data = [bytearray(10_000_000) for _ in range(100)]"))
    ended, _ = await run(api, restricted, pod(restricted, name, launch(python), memory="128Mi"))
    assert ended["exitCode"] == 137
    if ended.get("message"):  # the kernel may have ended the runtime as well
        reason = json.loads(ended["message"])["reason"]
        assert reason == "was killed as memory ran out (limit 128 MiB)"
    else:
        assert ended["reason"] == "OOMKilled"
