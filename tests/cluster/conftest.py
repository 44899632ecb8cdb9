"""Fixtures for a real cluster: whichever KUBECONFIG gives."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import sshd
from between import Between
from bodywork.targets.kubernetes.client.api import Api
from ground import Ground
from namespaces import new_namespace
from tool import Tool


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the cluster to test with."""
    named = os.environ.get("KUBECONFIG")
    if not named:
        pytest.skip("no cluster: set KUBECONFIG")
    return Path(named.split(os.pathsep)[0]).resolve()


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    async with Api.open({**os.environ, "KUBECONFIG": str(kubeconfig)}) as opened:
        yield opened


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:
    """A fresh namespace; at the end all that is in it goes with it."""
    with new_namespace() as name:
        yield name


@pytest.fixture
def reachable() -> str:
    """An address of this machine that pods reach."""
    address = os.environ.get("BODYWORK_TEST_HOST", "10.250.0.1")
    with socket.socket() as free:
        try:
            free.bind((address, 0))
        except OSError:
            pytest.skip(f"{address} is not of this machine: set BODYWORK_TEST_HOST to one that pods reach")
    return address


@pytest.fixture
def ground(kubeconfig: Path, tmp_path: Path, shared_cache: Path) -> Iterator[Ground]:
    """A pipeline of its own, in a namespace of its own, for the whole tool."""
    made = Ground(
        name=f"crashes-{uuid.uuid4().hex[:8]}",
        folder=tmp_path,
        cache=shared_cache,
        environment={**os.environ, "KUBECONFIG": str(kubeconfig)},
    )
    yield made
    made.remove()


@pytest.fixture
def between(ground: Ground) -> Iterator[Between]:
    """A server between the tool and the cluster of `ground`."""
    with Between(ground.environment, ground.folder) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, reachable: str) -> Iterator[sshd.SshServer]:
    """A host of repositories that pods reach by ssh."""
    if why := sshd.missing():
        pytest.skip(why)
    with sshd.running(tmp_path / "sshd", reachable) as running:
        yield running


@pytest.fixture
def trusting(ground: Ground, server: sshd.SshServer) -> Tool:
    """A tool whose ssh knows the host, and no key but the one that it is told of."""
    server.trust()
    made = ground.another_tool("home")
    made.extra["GIT_SSH_COMMAND"] = server.configure(key=server.folder / "none")
    return made
