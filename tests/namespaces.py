"""Namespaces of a test's own on the cluster of KUBECONFIG."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NAMESPACE, SERVICE_ACCOUNT


@contextmanager
def new_namespace() -> Iterator[str]:
    """A fresh namespace; at the end all that is in it goes with it."""
    name = f"bodywork-test-{uuid.uuid4().hex[:8]}"

    async def make(opened: Api) -> None:
        await opened.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        # pods cannot be made before the account that they run as is there
        async with aclosing(opened.watch(SERVICE_ACCOUNT, name, fields="metadata.name=default")) as seen:
            async for one in seen:
                if one.kind == "set":
                    return

    async def remove(opened: Api) -> None:
        await opened.delete(NAMESPACE, name)

    _with(make)
    try:
        yield name
    finally:
        _with(remove)


def _with(do: Callable[[Api], Awaitable[Any]]) -> None:
    async def call() -> None:
        async with Api.open(dict(os.environ)) as opened:
            await do(opened)

    asyncio.run(call())
