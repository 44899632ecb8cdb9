"""Does a replica answer? A TCP connection, or an HTTP GET whose status is below 400."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

ENOUGH = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a probe found. `connected`: something accepted the connection; `reason` is a clause."""

    ok: bool
    connected: bool
    reason: str = ""


async def probe(host: str, port: int, *, path: str | None, declared: int, timeout: float) -> Answer:
    """Ask once. `path` None: a connection is enough. `timeout` in seconds, for all of it."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except TimeoutError:
            # A full queue of connections: somebody listens, and is busy.
            return Answer(
                ok=path is None, connected=True, reason=f"it takes no connection within {timeout:g} s"
            )
        except OSError:
            return Answer(ok=False, connected=False, reason="it listens on no port")
        if path is None:
            return Answer(ok=True, connected=True)
        try:
            async with asyncio.timeout(timeout):
                return _judge(path, await _get(sock, path, declared))
        except TimeoutError:
            return Answer(ok=False, connected=True, reason=f"GET {path} gave no answer within {timeout:g} s")
        except OSError as error:
            return Answer(ok=False, connected=True, reason=f"GET {path} broke off: {error.strerror or error}")


async def _get(sock: socket.socket, path: str, port: int) -> bytes:
    """The answer, read to its end if that is near: a server dislikes clients that hang up on it."""
    loop = asyncio.get_running_loop()
    head = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: bodywork\r\nAccept: */*\r\n"
    await loop.sock_sendall(sock, f"{head}Connection: close\r\n\r\n".encode())
    answer = b""
    while len(answer) < ENOUGH:
        data = await loop.sock_recv(sock, ENOUGH)
        if not data:
            break
        answer += data
    return answer


def _judge(path: str, answer: bytes) -> Answer:
    words = answer[:64].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Answer(ok=False, connected=True, reason=f"GET {path} was not answered in HTTP")
    status = int(words[1])
    ok = 200 <= status < 400
    return Answer(ok=ok, connected=True, reason="" if ok else f"GET {path} answered {status}")
