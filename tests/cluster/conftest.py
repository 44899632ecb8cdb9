"""Fixtures for a real cluster: whichever KUBECONFIG gives."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from between import Between
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NAMESPACE, SERVICE_ACCOUNT
from ground import Ground


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
    name = f"bodywork-test-{uuid.uuid4().hex[:8]}"
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}

    async def make(opened: Api) -> None:
        await opened.create(made)
        # pods cannot be made before the account that they run as is there
        async with aclosing(opened.watch(SERVICE_ACCOUNT, name, fields="metadata.name=default")) as seen:
            async for one in seen:
                if one.kind == "set":
                    return

    async def remove(opened: Api) -> None:
        await opened.delete(NAMESPACE, name)

    _with(kubeconfig, make)
    yield name
    _with(kubeconfig, remove)


def _with(kubeconfig: Path, do: Callable[[Api], Awaitable[Any]]) -> None:
    async def call() -> None:
        async with Api.open({**os.environ, "KUBECONFIG": str(kubeconfig)}) as opened:
            await do(opened)

    asyncio.run(call())


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
