"""The runtime brings inputs and keeps outputs, by addresses that were signed for a real S3 server."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import s3
from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore

from .pod import Ended, Pod

pytestmark = pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")

WRITE = """
import os
path = os.environ["BODYWORK_OUTPUT_MODEL"]
open(path, "wb").write(b"weights" * 1000)
"""
WRITE_FOLDER = """
import os
path = os.environ["BODYWORK_OUTPUT_MODEL"]
os.makedirs(path + "/sub")
open(path + "/sub/a", "w").write("a")
os.link(path + "/sub/a", path + "/sub/b")
os.symlink("sub/a", path + "/c")
"""
READ = """
import os
path = os.environ["BODYWORK_INPUT_DATA"]
print(os.path.basename(path), os.listdir(path) if os.path.isdir(path) else len(open(path, "rb").read()))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    with s3.server(tmp_path_factory.mktemp("s3"), "models") as running:
        yield running


@pytest.fixture
def store(server: s3.Server) -> ObjectStore:
    address = Address.parse(f"s3://models/iris?endpoint={server.endpoint}")
    return ObjectStore(address, s3.VARIABLES, patience=2.0)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path / "pod")


def output(store: ObjectStore, file: str = "model.bin", url: str | None = None) -> dict[str, Any]:
    return {"name": "model", "file": file, "to": {"url": url or store.sign("PUT", "run/train/1/model")}}


def reading(pod: Pod, url: str | None, digest: str, file: str = "deep/data.csv") -> Ended:
    pod.change = {
        "inputs": [{"name": "data", "file": file, "digest": digest, "origin": url and {"url": url}}]
    }
    return pod.run(READ)


def test_an_output_is_kept_and_its_digest_told(pod: Pod, store: ObjectStore, tmp_path: Path) -> None:
    pod.change = {"outputs": [output(store)]}
    ended = pod.run(WRITE)
    digest = f"file:{hashlib.sha256(b'weights' * 1000).hexdigest()}"
    assert (ended.code, ended.said["outputs"]) == (0, {"model": digest})
    store.get("run/train/1/model", digest, tmp_path / "copy")


def test_a_folder_goes_out_and_comes_in(pod: Pod, store: ObjectStore, tmp_path: Path) -> None:
    pod.change = {"outputs": [output(store, "saved")]}
    digest = pod.run(WRITE_FOLDER).said["outputs"]["model"]
    assert digest.startswith("folder:")
    store.get("run/train/1/model", digest, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").rglob("*")) == ["a", "b", "c", "sub"]
    other = Pod(tmp_path / "other")
    ended = reading(other, store.sign("GET", "run/train/1/model"), digest, "saved")
    assert ended.own == ["saved ['c', 'sub']"] or ended.own == ["saved ['sub', 'c']"], ended.output
    assert (other.work / "inputs/data/saved/c").read_text() == "a"


def test_an_input_is_there_with_its_name(pod: Pod, store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(3_000_000))
    digest = store.put(tmp_path / "data", "data")
    url = store.sign("GET", "data")
    assert reading(pod, url, digest).own == ["data.csv 3000000"]
    assert pod.start().wait().own == ["data.csv 3000000"]  # the container was restarted


def test_an_input_that_was_brought_is_used(pod: Pod) -> None:
    (pod.work / "inputs/data").mkdir(parents=True)
    (pod.work / "inputs/data/data.csv").write_text("abc")
    assert reading(pod, None, "file:0").own == ["data.csv 3"]


def test_a_damaged_input_is_not_used(pod: Pod, store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"other")
    store.put(tmp_path / "data", "damaged")
    ended = reading(pod, store.sign("GET", "damaged"), "file:" + "0" * 64)
    assert (ended.code, ended.said["phase"], ended.said["retry"]) == (97, "preparing", False)
    assert ended.said["reason"].startswith("its input data cannot be had: what the store gave is damaged")


def test_an_input_that_is_gone_is_told(pod: Pod, store: ObjectStore) -> None:
    ended = reading(pod, store.sign("GET", "never"), "file:" + "0" * 64)
    assert ended.said["reason"] == (
        "its input data cannot be had: the store does not have it any more; run the stage that makes it again"
    )


def test_an_output_that_was_not_written_is_told_as_on_one_machine(pod: Pod, store: ObjectStore) -> None:
    pod.change = {"outputs": [output(store)]}
    ended = pod.run("")
    assert (ended.code, ended.said["phase"], ended.said["retry"]) == (1, "outputs", True)
    assert ended.said["reason"] == (
        "exited with 0, but did not write its output model: "
        "the stage has to write it to the path in $BODYWORK_OUTPUT_MODEL"
    )


def test_a_link_out_of_a_folder_is_told(pod: Pod, store: ObjectStore) -> None:
    pod.change = {"outputs": [output(store, "saved")]}
    ended = pod.run(WRITE_FOLDER.replace('"sub/a", path', '"/etc/passwd", path'))
    assert ended.said["reason"] == (
        "its output model could not be kept: saved/c is a link that leads out of the folder: /etc/passwd"
    )


def test_an_address_that_is_too_old_is_told(pod: Pod, store: ObjectStore) -> None:
    url = store.sign("PUT", "late", timedelta(seconds=1))
    pod.change = {"outputs": [output(store, url=url)]}
    ended = pod.run(WRITE + "import time; time.sleep(2.2)")
    assert (ended.code, ended.said["retry"]) == (1, True)
    assert "the store refuses the address that was signed for this attempt" in ended.said["reason"]


def test_a_full_store_is_told(pod: Pod) -> None:
    class Full(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(507)
            self.end_headers()
            self.wfile.write(b"<Error><Code>InsufficientStorage</Code><Message>No space</Message></Error>")

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Full) as full:
        threading.Thread(target=full.serve_forever, daemon=True).start()
        to = {"url": f"http://127.0.0.1:{full.server_port}/model"}
        pod.change = {"outputs": [{"name": "model", "file": "model.bin", "to": to}]}
        ended = pod.run(WRITE)
        full.shutdown()
    assert (ended.code, ended.said["retry"]) == (1, False)
    assert "the store is full (InsufficientStorage: No space): make room in it" in ended.said["reason"]


def test_a_failed_module_keeps_nothing(pod: Pod, store: ObjectStore) -> None:
    pod.change = {"outputs": [output(store, url=store.sign("PUT", "unkept"))]}
    ended = pod.run(WRITE + "raise SystemExit(4)")
    assert (ended.code, ended.said["phase"], ended.said["outputs"]) == (4, "module", {})
    assert store.head("unkept") is None


def test_a_store_that_is_away_for_a_moment_is_asked_again(pod: Pod) -> None:
    """Refused at first, then busy, then cut short in the middle of an answer."""
    asked: list[str] = []

    class Weak(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503 if len(asked) == 1 else 200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello"[: 5 if len(asked) > 2 else 3])

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Weak) as weak:
        threading.Thread(target=weak.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{weak.server_port}/data"
        ended = reading(pod, url, f"file:{hashlib.sha256(b'hello').hexdigest()}")
        weak.shutdown()
    assert ended.own == ["data.csv 5"]
    assert len(asked) == 3
