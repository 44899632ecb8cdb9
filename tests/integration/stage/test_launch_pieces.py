"""With stores of all kinds, what is too large for one request goes in pieces, and comes back whole."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

import azurite
import emulators
import gcs
import s3
from bodywork.artifacts import pieces
from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.artifacts.pieces import Signed
from bodywork.errors import StageError

from .pod import Ended, Pod

KB = 1024
WRITE = """
import os
path = os.environ["BODYWORK_OUTPUT_MODEL"]
with open(path, "wb") as file:
    file.write((b"weights!" * 128 * %d)[:%d])
"""
READ = """
import hashlib, os
print(hashlib.sha256(open(os.environ["BODYWORK_INPUT_DATA"], "rb").read()).hexdigest())
"""


def of_s3(folder: Path, stack: ExitStack) -> ObjectStore:
    (folder / "s3").mkdir()
    running = stack.enter_context(s3.server(folder / "s3", "models"))
    return ObjectStore(Address.parse(f"s3://models/iris?endpoint={running.endpoint}"), s3.VARIABLES)


def of_azure(folder: Path, stack: ExitStack) -> ObjectStore:
    running = stack.enter_context(azurite.server(folder, "models"))
    address = Address.parse(f"az://models/iris?endpoint={running.endpoint}")
    return ObjectStore(address, azurite.VARIABLES)


def of_google(folder: Path, stack: ExitStack) -> ObjectStore:
    running = stack.enter_context(gcs.server(folder, "models"))
    address = Address.parse(f"gs://models/iris?endpoint={running.endpoint}")
    return ObjectStore(address, {"GOOGLE_SERVICE_ACCOUNT_KEY": running.account.key})


KINDS = [
    pytest.param(
        of_s3, id="s3", marks=pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")
    ),
    pytest.param(of_azure, id="az", marks=emulators.needs(emulators.AZURITE)),
    pytest.param(of_google, id="gs", marks=emulators.needs(emulators.FAKE_GCS)),
]


@pytest.fixture(scope="module", params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ExitStack() as stack:
        made: ObjectStore = request.param(tmp_path_factory.mktemp("store"), stack)
        yield made


@pytest.fixture
def store(opened: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """With pieces of 100 kB, 4 at most."""
    monkeypatch.setattr(pieces, "PIECE", 100 * KB)
    monkeypatch.setattr(pieces, "MOST", 4)
    yield opened
    opened.delete(*(entry.key for entry in opened.list("run")))


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path / "pod")


def writing(pod: Pod, to: Signed, size: int) -> Ended:
    pod.change = {"outputs": [{"name": "model", "file": "model.bin", "to": asdict(to)}]}
    return pod.run(WRITE % (size // KB + 1, size))


def reading(pod: Pod, origin: Signed, digest: str) -> Ended:
    pod.change = {"inputs": [{"name": "data", "file": "d", "digest": digest, "origin": asdict(origin)}]}
    return pod.run(READ)


@pytest.mark.parametrize(("size", "count"), [(0, 1), (5, 1), (100 * KB, 2), (250 * KB, 3), (400 * KB - 1, 4)])
def test_an_output_of_any_size_comes_back_whole(
    pod: Pod, store: ObjectStore, tmp_path: Path, size: int, count: int
) -> None:
    key = f"run/train_A/1/model-{size}"
    ended = writing(pod, store.sign_pieces("PUT", key), size)
    digest = ended.said["outputs"]["model"]
    assert digest == "file:" + hashlib.sha256((b"weights!" * 50 * KB)[:size]).hexdigest()
    assert len(list(store.list("run"))) == (1 if store.address.scheme == "gs" else count)
    assert reading(pod, store.sign_pieces("GET", key), digest).own == [digest.partition(":")[2]]
    store.get(key, digest, tmp_path / "copy", piece=pieces.size(store.address.scheme))
    assert (tmp_path / "copy").stat().st_size == size


def test_a_damaged_piece_is_refused(pod: Pod, store: ObjectStore, tmp_path: Path) -> None:
    digest = writing(pod, store.sign_pieces("PUT", "run/train/1/model"), 150 * KB).said["outputs"]["model"]
    damaged = max(entry.key for entry in store.list("run"))
    store.put_bytes(b"evil", damaged)
    ended = reading(pod, store.sign_pieces("GET", "run/train/1/model"), digest)
    assert ended.code == 97 and "what the store gave is damaged" in ended.said["reason"]
    with pytest.raises(StageError, match="is damaged"):
        piece = pieces.size(store.address.scheme)
        store.get("run/train/1/model", digest, tmp_path / "copy", piece=piece)


def test_what_has_no_room_is_refused_before_anything_is_sent(pod: Pod, store: ObjectStore) -> None:
    ended = writing(pod, store.sign_pieces("PUT", "run/train/1/model"), 400 * KB)
    if store.address.scheme == "gs":  # which takes 5 TB at once
        assert ended.code == 0
        return
    assert (ended.code, ended.said["retry"], list(store.list("run"))) == (1, False, [])
    assert ended.said["reason"] == (
        "its output model could not be kept: it has 0.4 MiB, and one output can have less than 0.4 MiB: "
        "divide it among several"
    )


def test_only_the_piece_that_did_not_get_through_is_sent_again(pod: Pod) -> None:
    got: list[tuple[str, int]] = []

    class Weak(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, len(body)))
            self.send_response(503 if got.count(("/2", len(body))) == 1 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Weak) as weak:
        threading.Thread(target=weak.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{weak.server_port}/{number}" for number in (1, 2, 3)]
        ended = writing(pod, Signed.of(urls, 100 * KB, {}), 250 * KB)
        weak.shutdown()
    assert ended.said["outputs"]["model"] == (
        "file:" + hashlib.sha256((b"weights!" * 50 * KB)[: 250 * KB]).hexdigest()
    )
    assert got == [("/1", 100 * KB), ("/2", 100 * KB), ("/2", 100 * KB), ("/3", 50 * KB)]


def test_addresses_of_all_pieces_take_little_room() -> None:
    """All that a pod is told is one variable, of which Linux allows 128 kB."""
    temporary = {**s3.VARIABLES, "AWS_SESSION_TOKEN": os.urandom(500).hex()}
    store = ObjectStore(Address.parse("s3://models/iris"), temporary)
    signed = store.sign_pieces("PUT", "iris/20261123-060000-abcd/train/1/model")
    assert len(signed.url) > 1000 and len(signed.more) < 5000
