"""The log of a container, as a stream on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx2

from bodywork.errors import BodyworkError
from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.answers import error_of, status_of
from bodywork.targets.kubernetes.client.asking import Asking
from bodywork.targets.kubernetes.client.connection import Request
from bodywork.targets.kubernetes.client.retries import ask
from bodywork.targets.kubernetes.client.unreachable import unreachable
from bodywork.targets.kubernetes.kinds import POD


class NotStartedError(BodyworkError):
    """The container has not started yet, or has not been started before (`previous`)."""


@dataclass(frozen=True, kw_only=True)
class LogRequest:
    """`since_time` in RFC 3339; `tail` in lines."""

    pod: str
    namespace: str
    container: str
    follow: bool = False
    since_time: str | None = None
    tail: int | None = None
    previous: bool = False
    timestamps: bool = False
    limit_bytes: int | None = None

    def request(self) -> Request:
        wanted = {
            "container": self.container,
            "follow": self.follow,
            "previous": self.previous,
            "timestamps": self.timestamps,
            "sinceTime": self.since_time,
            "tailLines": self.tail,
            "limitBytes": self.limit_bytes,
        }
        params = {
            key: "true" if value is True else str(value)
            for key, value in wanted.items()
            if value is not None and value is not False
        }
        return Request(method="GET", path=POD.path(self.namespace, self.pod, "log"), params=params)


async def log_stream(asking: Asking, wanted: LogRequest) -> AsyncGenerator[bytes, None]:
    """The bytes as they come. Raises NotFoundError, NotStartedError, UnreachableError."""
    access = asking.access
    async with AsyncExitStack() as opened:

        async def once() -> httpx2.Response:
            # a silent container's answer begins with its first line, however late: no limit of silence
            stream = asking.connection.stream(wanted.request(), silence=None)
            response = await opened.enter_async_context(stream)
            if not response.is_success:
                await response.aread()
            return response

        answer = await ask(once, access=access, patience=asking.patience, outage=asking.outage)
        if not answer.response.is_success:
            raise _refused(answer.response, wanted, access)
        try:
            async for chunk in answer.response.aiter_bytes():
                yield chunk
        except httpx2.TransportError as error:
            asking.outage.felt()
            raise unreachable(error, access) from error


def _refused(response: httpx2.Response, wanted: LogRequest, access: Access) -> BodyworkError:
    status = status_of(response)
    doing = f"read the log of {wanted.container} in pod `{wanted.pod}` in namespace {wanted.namespace}"
    if status.code == 400:
        return NotStartedError(f"could not {doing}: {status.words}")
    return error_of(status, doing, access)
