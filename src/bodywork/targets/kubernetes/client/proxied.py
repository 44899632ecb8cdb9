"""What a service inside the cluster answers, passed on by the API server: for who is outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack

import httpx2

from bodywork.targets.kubernetes.client.answers import error_of, status_of
from bodywork.targets.kubernetes.client.asking import Asking
from bodywork.targets.kubernetes.client.connection import Request
from bodywork.targets.kubernetes.client.retries import ask
from bodywork.targets.kubernetes.client.unreachable import unreachable

SILENCE = 60.0
"""Seconds without a byte after which the stream counts as lost."""


async def proxied_stream(
    asking: Asking, method: str, service: str, namespace: str, path: str, params: Mapping[str, str]
) -> AsyncGenerator[bytes, None]:
    """The bytes as they come. Raises NotFoundError, ForbiddenError, UnreachableError."""
    below = f"/api/v1/namespaces/{namespace}/services/{service}/proxy{path}"
    request = Request(method=method, path=below, params=params)
    async with AsyncExitStack() as opened:

        async def once() -> httpx2.Response:
            response = await opened.enter_async_context(asking.connection.stream(request, silence=SILENCE))
            if not response.is_success:
                await response.aread()
            return response

        answer = await ask(once, access=asking.access, patience=asking.patience, outage=asking.outage)
        if not answer.response.is_success:
            status = status_of(answer.response)
            raise error_of(status, f"ask service {service} in namespace {namespace}", asking.access)
        try:
            async for chunk in answer.response.aiter_bytes():
                yield chunk
        except httpx2.TransportError as error:
            asking.outage.felt()
            raise unreachable(error, asking.access) from error
