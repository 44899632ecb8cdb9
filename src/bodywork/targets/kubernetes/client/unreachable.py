"""Why the cluster cannot be reached, in words: from the errors of sockets, TLS and proxies."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2

from bodywork.errors import UnreachableError
from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.incluster import IN_CLUSTER


def unreachable(error: httpx2.TransportError, access: Access) -> UnreachableError:
    """The sentence, with what to check."""
    if (trouble := _tls(error)) is not None:
        return _untrusted(trouble, access)
    if isinstance(error, httpx2.ProxyError):
        proxy = urlsplit(access.server.proxy or "")
        return UnreachableError(
            f"the proxy {proxy.hostname}:{proxy.port} does not lead to the cluster {place(access)}: {error}",
            hint="see `proxy-url` of the cluster in the kubeconfig, and HTTPS_PROXY and NO_PROXY",
        )
    return UnreachableError(
        f"the cluster {place(access)} does not answer: {_why(error)}", hint=_check(access)
    )


def asking_again_helps(error: httpx2.TransportError) -> bool:
    """Not where the two ends do not trust each other, or do not speak the same protocol."""
    return _tls(error) is None and not isinstance(error, httpx2.UnsupportedProtocol)


def was_sent(error: httpx2.TransportError) -> bool:
    """Whether the server may have done what was asked, although its answer was lost."""
    return not isinstance(
        error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
    )


def place(access: Access) -> str:
    """`NAME at HOST:PORT`"""
    parts = urlsplit(access.server.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"`{access.context}` at {host}:{port}"


def kubectl(access: Access, command: str) -> str:
    """What a person can type to see the same."""
    context = "" if access.context == IN_CLUSTER else f"--context {access.context} "
    return f"`kubectl {context}{command}`"


def _check(access: Access) -> str:
    check = kubectl(access, "cluster-info")
    return f"is the cluster running, and is this machine in its network? Check with {check}"


def _untrusted(trouble: ssl.SSLError, access: Access) -> UnreachableError:
    if isinstance(trouble, ssl.SSLCertVerificationError):
        named = trouble.verify_code in (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH
        return UnreachableError(
            f"the certificate of the cluster {place(access)} is not trusted: {trouble.verify_message}",
            hint="set `tls-server-name` of the cluster in the kubeconfig to a name that the certificate has"
            if named
            else "see `certificate-authority-data` of the cluster in the kubeconfig, or get the file anew",
        )
    why = (trouble.reason or str(trouble)).replace("_", " ").lower()
    return UnreachableError(
        f"no TLS with the cluster {place(access)}: {why}",
        hint="see `server` of the cluster in the kubeconfig, and whether the client certificate is valid",
    )


def _why(error: httpx2.TransportError) -> str:
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "its name cannot be resolved"
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, (TimeoutError, ssl.SSLError)):
            return os.strerror(cause.errno).lower()  # asyncio's own text has the address once more
    if isinstance(error, httpx2.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx2.TimeoutException):
        return "it took the request, but gave no answer in time"
    return str(error).rstrip(".").lower() or "the connection was cut"


def _tls(error: BaseException) -> ssl.SSLError | None:
    """What the two ends did not agree on; a handshake that was cut or took too long is none."""
    passing = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, passing):
            return cause
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and the errors of groups among them."""
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        cause = left.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        left += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            left += cause.exceptions
