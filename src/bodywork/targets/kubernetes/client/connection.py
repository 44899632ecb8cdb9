"""HTTP with the one API server as the one user: connections, credentials, and a new try after 401."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from bodywork import __version__
from bodywork.errors import UsageError
from bodywork.targets.kubernetes.client.access import Access, Certificate
from bodywork.targets.kubernetes.client.credentials import Credentials, Proof
from bodywork.targets.kubernetes.client.tls import tls

CONNECT = 10.0
"""Seconds in which a connection has to stand."""
ANSWER = 35.0
"""Seconds in which a request has to be answered; the server itself gives most of them up after 34 s."""
_AT_ONCE = 32  # connections for single requests; streams have one each and are not counted
_HEADERS = {"Accept": "application/json", "User-Agent": f"bodywork/{__version__}"}


def _keepalive() -> list[tuple[int, int, int]]:
    """A peer that is gone without a word is noticed after about 30 s of silence."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # macOS has not all of them
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


@dataclass(frozen=True, kw_only=True)
class Request:
    """`path` is below the server's URL; `content` has `content_type`."""

    method: str
    path: str
    params: Mapping[str, str]
    content: bytes | None = None
    content_type: str = "application/json"


class Connection:
    """Raises httpx2.TransportError as it comes, and what credentials raise."""

    def __init__(self, access: Access, environment: Mapping[str, str]) -> None:
        self._access = access
        self._credentials = Credentials(access.user, environment)
        self._clients: dict[tuple[Certificate | None, bool], httpx2.AsyncClient] = {}

    async def send(self, request: Request) -> httpx2.Response:
        """The whole answer."""
        timeout = httpx2.Timeout(ANSWER, connect=CONNECT, pool=None)
        response = await self._answer(request, timeout, streamed=False)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float | None) -> AsyncIterator[httpx2.Response]:
        """An answer that goes on, on a connection of its own; `silence`: seconds until it counts as lost."""
        timeout = httpx2.Timeout(ANSWER, connect=CONNECT, pool=None, read=silence)
        response = await self._answer(request, timeout, streamed=True)
        try:
            _keep_alive(response)
            yield response
        finally:
            await response.aclose()

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _answer(self, request: Request, timeout: httpx2.Timeout, *, streamed: bool) -> httpx2.Response:
        proof = await self._credentials.proof()
        response = await self._once(request, timeout, proof, streamed)
        if response.status_code == 401:
            newer = await self._credentials.renewed(proof)
            if newer is not None:
                await response.aclose()
                response = await self._once(request, timeout, newer, streamed)
        return response

    async def _once(
        self, request: Request, timeout: httpx2.Timeout, proof: Proof, streamed: bool
    ) -> httpx2.Response:
        client = self._client(proof.certificate, streamed)
        headers = list(proof.headers)
        if request.content is not None:
            headers.append(("Content-Type", request.content_type))
        name = self._access.server.tls_name
        made = client.build_request(
            request.method,
            request.path,
            params=dict(request.params) or None,
            content=request.content,
            headers=httpx2.Headers(headers),
            timeout=timeout,
            extensions={"sni_hostname": name} if name else None,
        )
        return await client.send(made, stream=True)

    def _client(self, certificate: Certificate | None, streamed: bool) -> httpx2.AsyncClient:
        """One for each certificate: a connection that stands keeps the one it began with."""
        key = (certificate, streamed)
        if key not in self._clients:
            self._clients[key] = self._made(certificate, None if streamed else _AT_ONCE)
        return self._clients[key]

    def _made(self, certificate: Certificate | None, connections: int | None) -> httpx2.AsyncClient:
        server = self._access.server
        try:
            transport = httpx2.AsyncHTTPTransport(
                verify=tls(server, certificate),
                limits=httpx2.Limits(max_connections=connections, keepalive_expiry=30.0),
                proxy=server.proxy,
                socket_options=_keepalive(),
            )
        except ValueError as error:
            raise UsageError(f"the proxy of the cluster {server.url} cannot be used: {error}") from error
        return httpx2.AsyncClient(base_url=server.url, transport=transport, headers=_HEADERS, trust_env=False)


def _keep_alive(response: httpx2.Response) -> None:
    """Once more on the socket of a stream: connections through a proxy are made without our options."""
    stream = response.extensions.get("network_stream")
    plain = stream.get_extra_info("socket") if stream is not None else None
    if plain is not None:
        for option in _keepalive():
            plain.setsockopt(*option)
