"""A session's token that has expired, as S3 documents its answer: no server here hands out such tokens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.errors import UnreachableError

ANSWER = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>ExpiredToken</Code>'
    b"<Message>The provided token has expired.</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"
)
TOKEN = "session-token-of-an-hour"


class Expired(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert self.headers["x-amz-security-token"] == TOKEN
        self.send_response(400)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(ANSWER)

    def log_message(self, *args: object) -> None:
        pass


for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
    setattr(Expired, f"do_{method}", Expired.answer)


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Expired)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret-of-an-hour",
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
    }
    yield ObjectStore(Address.parse("s3://models/iris"), variables, patience=5.0)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda store, folder: store.put(folder / "model", "key"),
        lambda store, folder: store.get("key", "file:" + "0" * 64, folder / "into"),
        lambda store, folder: list(store.list()),
        lambda store, folder: store.check(),
    ],
    ids=["put", "get", "list", "check"],
)
def test_it_is_told_as_such_and_not_shown(
    store: ObjectStore, ask: Callable[[ObjectStore, Path], object], tmp_path: Path
) -> None:
    (tmp_path / "model").write_text("model")
    with pytest.raises(UnreachableError) as caught:
        ask(store, tmp_path)
    assert caught.value.message == "the credential for the store s3://models/iris has expired"
    assert caught.value.hint == "log in again, then repeat the command"
    assert TOKEN not in str(caught.value) and not (tmp_path / "into").exists()
