"""Files and folders go to a real S3 server and come back, and what is wrong is said in a sentence."""

import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

import s3
from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.errors import NotFoundError, StageError, UnreachableError, UsageError

pytestmark = pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    with s3.server(tmp_path_factory.mktemp("s3"), "models") as running:
        yield running


def opened(server: s3.Server, bucket: str = "models", patience: float = 2.0, **variables: str) -> ObjectStore:
    address = Address.parse(f"s3://{bucket}/iris?endpoint={server.endpoint}")
    return ObjectStore(address, s3.VARIABLES | variables, patience=patience)


@pytest.fixture
def store(server: s3.Server) -> ObjectStore:
    return opened(server)


def test_a_file_comes_back_as_it_was(store: ObjectStore, server: s3.Server, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"\x00\xff" * 1000)
    digest = store.put(tmp_path / "model", "run-1/train/1/model")
    store.get("run-1/train/1/model", digest, tmp_path / "deep" / "copy")
    assert digest.startswith("file:")
    assert (tmp_path / "deep" / "copy").read_bytes() == b"\x00\xff" * 1000
    assert server.file("models", "iris/run-1/train/1/model").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]


def test_a_folder_comes_back_with_its_links_and_modes(store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "run").write_text("#!/bin/sh\n")
    (folder / "sub" / "run").chmod(0o755)
    (folder / "link").symlink_to("sub/run")
    digest = store.put(folder, "folder")
    store.get("folder", digest, tmp_path / "copy")
    assert (tmp_path / "copy" / "link").read_text() == "#!/bin/sh\n"
    assert (tmp_path / "copy" / "sub" / "run").stat().st_mode & 0o100


def test_200_megabytes_pass_with_flat_memory(store: ObjectStore, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1024 * 1024))
    with PeakMemory() as peak:
        digest = store.put(tmp_path / "big", "big")
        store.get("big", digest, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 200 * 1024 * 1024
    assert peak() < 120 * 1024 * 1024


class PeakMemory:
    """The most memory that this process has while the block runs, above what it had before."""

    def __enter__(self) -> "PeakMemory":
        self.process, self.most, self.going = psutil.Process(), 0, True
        self.before = self.process.memory_info().rss
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self) -> None:
        while self.going:
            self.most = max(self.most, self.process.memory_info().rss)
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self.going = False
        self.thread.join()

    def __call__(self) -> int:
        return self.most - self.before


@pytest.mark.parametrize("size", [5, 20 * 1024 * 1024])
def test_what_is_there_stays_as_it_is(store: ObjectStore, tmp_path: Path, size: int) -> None:
    (tmp_path / "old").write_bytes(b"a" * size)
    (tmp_path / "new").write_bytes(b"b" * size)
    key = f"once-{size}"
    old = store.put(tmp_path / "old", key, absent=True)
    assert store.put(tmp_path / "new", key, absent=True) != old
    store.get(key, old, tmp_path / "copy")
    store.put(tmp_path / "new", key)
    with pytest.raises(StageError, match="is damaged"):
        store.get(key, old, tmp_path / "again")


@pytest.mark.parametrize("absent", [True, False])
@pytest.mark.parametrize(
    ("key", "code"), [("a/b/c", "ObjectParentIsFile"), ("d", "ExistingObjectIsDirectory")]
)
def test_an_object_that_is_in_the_way_is_told(
    store: ObjectStore, tmp_path: Path, key: str, code: str, absent: bool
) -> None:
    """In stores that keep objects as files."""
    (tmp_path / "model").write_text("model")
    for there in ("a/b", "d/e"):
        store.put(tmp_path / "model", f"way-{absent}/{there}")
    with pytest.raises(UsageError, match=rf"another object is in the way \({code}\)"):
        store.put(tmp_path / "model", f"way-{absent}/{key}", absent=absent)


def test_a_damaged_object_is_refused_and_not_left_behind(
    store: ObjectStore, server: s3.Server, tmp_path: Path
) -> None:
    (tmp_path / "model").write_text("good")
    digest = store.put(tmp_path / "model", "damaged")
    server.file("models", "iris/damaged").write_text("evil")
    with pytest.raises(StageError, match=r"artifact damaged in the store s3://models/iris.* is damaged"):
        store.get("damaged", digest, tmp_path / "here" / "copy")
    assert list((tmp_path / "here").iterdir()) == []


def test_list_head_and_delete(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")
    store.put(tmp_path / "one", "many/1")
    store.put(tmp_path / "one", "many/2")
    assert [(entry.key, entry.size) for entry in store.list("many")] == [("many/1", 3), ("many/2", 3)]
    found = store.head("many/2")
    assert found is not None and found.size == 3
    store.delete("many/1", "many/2", "many/3")
    assert store.head("many/1") is None
    assert list(store.list("many")) == []


def test_a_signed_url_is_good_for_one_key_one_method_and_its_time(store: ObjectStore) -> None:
    url = store.sign("PUT", "run/stage/1/model", timedelta(minutes=1))
    request(url, b"content")
    assert request(store.sign("GET", "run/stage/1/model"), None) == b"content"
    for wrong in (url.replace("/stage/1/", "/stage/2/"), store.sign("GET", "run/stage/1/model")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            request(wrong, b"evil")
    short = store.sign("GET", "run/stage/1/model", timedelta(seconds=1))
    time.sleep(2.1)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        request(short, None)


def request(url: str, data: bytes | None) -> bytes:
    made = urllib.request.Request(url, data=data, method="PUT" if data else "GET")
    try:
        with urllib.request.urlopen(made) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        raise


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "does not accept the credential"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "does not accept the credential"),
    ],
)
def test_a_wrong_credential_is_said(
    server: s3.Server, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    (tmp_path / "model").write_text("model")
    store = opened(server, **variables)
    for attempt in (
        store.check,
        lambda: store.put(tmp_path / "model", "model"),
        lambda: store.get("model", "file:0", tmp_path / "x"),
    ):
        with pytest.raises(UsageError, match=words) as raised:
            attempt()
        assert "AWS_SECRET_ACCESS_KEY" in (raised.value.hint or "")
        assert "testtest" not in str(raised.value)


def test_no_such_bucket_and_no_such_key(server: s3.Server, store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no bucket nothing"):
        opened(server, "nothing").check()
    with pytest.raises(NotFoundError, match="nothing/there is not in the store s3://models/iris"):
        store.get("nothing/there", "file:0", tmp_path / "x")


def test_a_store_that_is_away_is_waited_for_and_then_said(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("model")
    with s3.server(tmp_path, "models") as server:
        server.stop()
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=rf"cannot be reached at {server.endpoint}: "):
            opened(server, patience=1.0).check()
        assert time.monotonic() - began < 10
        threading.Timer(1.0, server.start).start()
        digest = opened(server, patience=30.0).put(tmp_path / "model", "model")
        opened(server).get("model", digest, tmp_path / "copy")


def test_a_folder_is_a_store_too(tmp_path: Path) -> None:
    store = ObjectStore(Address.parse(f"file://{tmp_path}/kept"), {})
    (tmp_path / "model").write_text("model")
    digest = store.put(tmp_path / "model", "a/model", absent=True)
    store.put(tmp_path / "model", "a/model", absent=True)
    store.get("a/model", digest, tmp_path / "copy")
    assert [entry.key for entry in store.list("a")] == ["a/model"]
    with pytest.raises(UsageError, match="cannot be reached by URL"):
        store.sign("GET", "a/model")
