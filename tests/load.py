"""A client that asks a service all the time, as users of it do: over new and over kept connections."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

RATE = 50.0
"""Requests a second, of each client."""


@dataclass
class Load:
    """What two clients have seen: one opens a connection for each request, one keeps its own.

    They send `document` (None: GET).
    """

    url: str
    path: str = "/"
    document: Any = None
    rate: float = RATE
    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        if self.document is None:
            connection.request("GET", self.path)
        else:
            data = json.dumps(self.document)
            connection.request("POST", self.path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise http.client.HTTPException(f"{answer.status}: {body}")
        self.answers.append((time.monotonic(), body))

    def _client(self, keep: bool) -> None:
        address = urlsplit(self.url).netloc
        connection = http.client.HTTPConnection(address, timeout=15)
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                kind = "kept" if keep else "new"
                self.failures.append(f"{kind} connection: {type(error).__name__}: {error}")
                connection.close()
            if not keep:
                connection.close()
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            self._stop.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def seen(self) -> set[str]:
        return {body for _, body in self.answers}

    def after(self, moment: float) -> set[str]:
        """What was answered later than `moment` (time.monotonic)."""
        return {body for at, body in self.answers if at > moment}


@contextmanager
def loaded(url: str, path: str = "/", document: Any = None, rate: float = RATE) -> Iterator[Load]:
    """Ask `url` all the time, until the end of the block."""
    load = Load(url, path, document, rate)
    clients = [threading.Thread(target=load._client, args=(keep,)) for keep in (True, False)]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load._stop.set()
        for client in clients:
            client.join()
