"""The one door to webhooks: a POST, tried again for a while, and a sentence when it was in vain.

A webhook's address is as good as a password: of it, only the host is ever named. Each delivery has a
thread of its own, which dies with the process: a server that takes a byte a minute cannot hold us up.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any
from urllib.parse import urlsplit

from bodywork import __version__

ATTEMPT = 4.0
"""Seconds that a server may take for one step of an answer."""

PATIENCE = 10.0
"""Seconds after which a delivery is given up."""

PAUSES = (0.5, 1.0, 2.0, 4.0)
AGAIN = (408, 425, 429)
"""Answers below 500 after which it is worth trying again."""


@dataclass(frozen=True, kw_only=True)
class Post:
    """What is sent where."""

    url: str
    document: Mapping[str, Any]


class InVainError(Exception):
    """Not delivered, and trying again changes nothing."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET without its content, and the address would reach others."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


async def deliver(posts: Sequence[Post], patience: float = PATIENCE) -> list[str]:
    """Send all of them at the same time. Returns a sentence for each that was not delivered."""
    loop = asyncio.get_running_loop()
    waiting = [(post, loop.create_future()) for post in posts]
    for post, done in waiting:
        threading.Thread(target=_work, args=(post, patience, loop, done), daemon=True).start()
    if waiting:
        await asyncio.wait([done for _, done in waiting], timeout=patience)
    late = f"it did not take it within {patience:g} s"
    ended = [(post, done.result() if done.done() else late) for post, done in waiting]
    return [f"the webhook at {host_of(post.url)} was not told: {why}" for post, why in ended if why]


def host_of(url: str) -> str:
    """What may be shown of an address."""
    try:
        return urlsplit(url).hostname or "an address without a host"
    except ValueError:
        return "an address that is none"


def _work(
    post: Post, patience: float, loop: asyncio.AbstractEventLoop, done: asyncio.Future[str | None]
) -> None:
    why = _send(post, patience)

    def tell() -> None:
        if not done.done():
            done.set_result(why)

    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)


def _send(post: Post, patience: float) -> str | None:
    """None when it was delivered, else why not."""
    deadline = time.monotonic() + patience
    for pause in (*PAUSES, None):
        try:
            _try(post)
            return None
        except InVainError as error:
            return str(error)
        except (ValueError, http.client.InvalidURL):
            return "what its secret holds is no address: it has to begin with https://"
        except (OSError, http.client.HTTPException) as error:
            why = _in_words(error)
        if pause is None or time.monotonic() + pause >= deadline:
            return why
        time.sleep(pause)
    return None


def _try(post: Post) -> None:
    request = urllib.request.Request(
        post.url,
        data=json.dumps(post.document).encode(),
        headers={"Content-Type": "application/json", "User-Agent": f"bodywork/{__version__}"},
    )
    if request.type not in ("http", "https"):
        raise ValueError(request.type)
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=ATTEMPT):
            return
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500 and error.code not in AGAIN:
            raise InVainError(_answered(error.code)) from None
        raise OSError(f"it answered with {error.code}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise InVainError(_certificate(error.reason)) from None
        raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from None


def _answered(code: int) -> str:
    if 300 <= code < 400:
        return (
            f"it answered with {code}, a redirection, which is not followed: give the address that it has now"
        )
    if code in (401, 403, 404, 410):
        return f"it answered with {code}: is the address still the right one?"
    return f"it answered with {code}: does it take the form that `notify` says (slack, json)?"


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    return (
        f"its certificate is not accepted ({error.verify_message}): a certificate authority of your own "
        "is named by SSL_CERT_FILE"
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"it did not answer within {ATTEMPT:g} s"
    if isinstance(error, socket.gaierror):
        return "there is no such host, or no network"
    if isinstance(error, http.client.HTTPException):
        return f"its answer is not HTTP ({type(error).__name__})"
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
