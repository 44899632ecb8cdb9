"""A real HTTP server that plays the part of a chat: good, moody, slow, or one that sends elsewhere."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Answer = Callable[[http.server.BaseHTTPRequestHandler, int], None]
"""Answers a request, given its number from 0."""


def with_code(*codes: int) -> Answer:
    """These codes, one after the other, and then the last one for ever."""

    def answer(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(codes[min(number, len(codes) - 1)])
        handler.send_header("Location", "/moved")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def never(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
    time.sleep(60)


def drop_by_drop(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
    """Always something, never an answer: no limit for one step of it is ever reached."""
    for letter in b"HTTP/1.1 200 OK, and so on, and so on, and so on, and so on, and so on":
        handler.wfile.write(bytes([letter]))
        time.sleep(1)


@dataclass
class Chat:
    """`got` are the documents, `asked` the requests with method and path."""

    url: str = ""
    got: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answer: Answer = field(default=with_code(200))


@contextmanager
def chat(
    answer: Answer | None = None, *, certificate: Path | None = None, address: str = "127.0.0.1"
) -> Iterator[Chat]:
    made = Chat(answer=answer or with_code(200))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            number = len(made.asked)
            made.asked.append(f"POST {self.path}")
            made.got.append(json.loads(body))
            made.answer(self, number)

        def do_GET(self) -> None:
            made.asked.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

        def handle_error(self) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # who asked has gone
            pass

    with Server((address, 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https" if certificate else "http"
        made.url = f"{scheme}://{address}:{server.server_address[1]}/hooks/t0k3n-0f-the-chat"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()
