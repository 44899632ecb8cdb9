"""Clients that ask a service at a steady rate, over new connections and kept-alive ones; run as a process.

    python load.py URL SECONDS [PATH]

Prints a JSON list of [time asked, time answered, answer or null, error, kind]. Times are of time.monotonic().
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

RATE = 50.0
TIMEOUT = 15.0


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None) -> str:
    connection.request("POST" if body else "GET", path, body=body)
    response = connection.getresponse()
    text = response.read().decode()
    if response.status != 200:
        raise OSError(f"status {response.status}")
    return text


def client(kind: str, host: str, port: int, path: str, end: float, found: list[list[object]]) -> None:
    """One client: `new`, `kept` or `post` (kept-alive, with a body)."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    body = b"GET / HTTP/1.1\r\n" + b"x" * 20_000 if kind == "post" else None
    due = time.monotonic()
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + 1 / RATE, time.monotonic())
        asked = time.monotonic()
        try:
            if kind == "new":
                connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
            answer, error = ask(connection, path, body), None
        except (OSError, http.client.HTTPException) as failure:
            answer, error = None, repr(failure)
            connection.close()
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        found.append([asked, time.monotonic(), answer, error, kind])
        if kind == "new":
            connection.close()
    connection.close()


def main(url: str, seconds: float, path: str) -> None:
    address = urlsplit(url)
    found: list[list[object]] = []
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=client, args=(kind, address.hostname, address.port, path, end, found))
        for kind in ("new", "kept", "kept", "post")
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.13)  # not all in step
    for thread in threads:
        thread.join()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "/")
