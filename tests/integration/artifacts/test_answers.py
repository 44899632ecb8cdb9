"""What object stores answer where no server here can be brought to it: as documented, or as it was seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.errors import UnreachableError, UsageError

Ask = Callable[[ObjectStore, Path], object]
TOKEN = "session-token-of-an-hour"


class Answering(ThreadingHTTPServer):
    """Gives each request the next of `answers`, statuses and codes of S3, and all later ones the last."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, str]] = []
        self.asked: list[str] = []

    def next(self) -> tuple[int, str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    server: Answering

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert self.headers["x-amz-security-token"] == TOKEN
        condition = " if absent" if self.headers.get("If-None-Match") == "*" else ""
        self.server.asked.append(f"{self.command} {self.path}{condition}")
        status, code = self.server.next()
        body = f"<Error><Code>{code}</Code><Message>words</Message></Error>".encode() if code else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
    setattr(Handler, f"do_{method}", Handler.answer)


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def store(server: Answering, tmp_path: Path) -> ObjectStore:
    variables = {
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret-of-an-hour",
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
    }
    (tmp_path / "model").write_text("model")
    return ObjectStore(Address.parse("s3://models/iris"), variables, patience=5.0)


def put(store: ObjectStore, folder: Path) -> str:
    return store.put(folder / "model", "key", absent=True)


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
def test_a_sessions_token_that_has_expired_is_told_and_not_shown(
    server: Answering, store: ObjectStore, ask: Ask, tmp_path: Path
) -> None:
    server.answers = [(400, "ExpiredToken")]
    with pytest.raises(UnreachableError) as caught:
        ask(store, tmp_path)
    assert caught.value.message == "the credential for the store s3://models/iris has expired"
    assert caught.value.hint == "log in again, then repeat the command"
    assert TOKEN not in str(caught.value) and not (tmp_path / "into").exists()


@pytest.mark.parametrize(
    ("status", "code"), [(507, "InsufficientStorage"), (403, "QuotaExceeded")], ids=["versitygw", "ceph"]
)
def test_a_full_store_is_told(
    server: Answering, store: ObjectStore, tmp_path: Path, status: int, code: str
) -> None:
    server.answers = [(404, ""), (status, code)]
    with pytest.raises(UsageError) as caught:
        put(store, tmp_path)
    assert caught.value.message == f"the store s3://models/iris is full ({code})"
    assert caught.value.hint and "bodywork prune" in caught.value.hint


PATH = "/models/iris/key"


def test_who_comes_second_is_content_with_what_the_first_has_put(
    server: Answering, store: ObjectStore, tmp_path: Path
) -> None:
    server.answers = [(404, ""), (412, "PreconditionFailed"), (200, "")]
    put(store, tmp_path)
    assert server.asked == [f"HEAD {PATH}", f"PUT {PATH} if absent", f"HEAD {PATH}"]


def test_a_conflict_that_has_left_nothing_there_is_not_taken_for_an_object(
    server: Answering, store: ObjectStore, tmp_path: Path
) -> None:
    server.answers = [(404, ""), (409, "ConditionalRequestConflict"), (404, ""), (200, "")]
    put(store, tmp_path)
    assert server.asked[-2:] == [f"HEAD {PATH}", f"PUT {PATH}"]
