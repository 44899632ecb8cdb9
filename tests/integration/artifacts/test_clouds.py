"""The same promises with Google's and Azure's stores as with S3, by real requests to their emulators."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

import azurite
import emulators
import gcs
from bodywork.artifacts.address import Address
from bodywork.artifacts.bucket import BucketStore
from bodywork.artifacts.objects import PART, ObjectStore
from bodywork.artifacts.turns import Turns
from bodywork.errors import BodyworkError, NotFoundError, StageError, UnreachableError, UsageError

MB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A cloud as its own tools know it; `wrong` is a credential that it does not take."""

    scheme: str
    endpoint: str
    variables: dict[str, str]
    wrong: dict[str, str]
    stop: Callable[[], None]
    start: Callable[[], None]

    def store(self, bucket: str = "models", patience: float = 2.0, **variables: str) -> ObjectStore:
        address = Address.parse(f"{self.scheme}://{bucket}/iris?endpoint={self.endpoint}")
        return ObjectStore(address, self.variables | variables, patience=patience)


def azure(folder: Path, stack: ExitStack) -> Cloud:
    running = stack.enter_context(azurite.server(folder, "models"))
    return Cloud(
        scheme="az",
        endpoint=running.endpoint,
        variables=azurite.VARIABLES,
        wrong={"AZURE_STORAGE_ACCOUNT_KEY": azurite.WRONG},
        stop=running.stop,
        start=running.start,
    )


def google(folder: Path, stack: ExitStack) -> Cloud:
    running = stack.enter_context(gcs.server(folder, "models"))
    return Cloud(
        scheme="gs",
        endpoint=running.endpoint,
        variables={"GOOGLE_SERVICE_ACCOUNT_KEY": running.account.key},
        wrong={"GOOGLE_SERVICE_ACCOUNT_KEY": gcs.Account.made().key},
        stop=lambda: None,
        start=lambda: None,
    )


CLOUDS = [
    pytest.param(azure, id="az", marks=emulators.needs(emulators.AZURITE)),
    pytest.param(google, id="gs", marks=emulators.needs(emulators.FAKE_GCS)),
]


@pytest.fixture(scope="module", params=CLOUDS)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with ExitStack() as stack:
        made: Cloud = request.param(tmp_path_factory.mktemp("cloud"), stack)
        yield made


def test_a_file_and_a_folder_come_back_as_they_were(cloud: Cloud, tmp_path: Path) -> None:
    store = cloud.store()
    (tmp_path / "saved" / "deep").mkdir(parents=True)
    (tmp_path / "saved" / "deep" / "model").write_bytes(b"\x00\xff" * 1000)
    for name in ("saved", "saved/deep/model"):
        digest = store.put(tmp_path / name, f"run-1/train_A/1/{name}", absent=True)
        store.get(f"run-1/train_A/1/{name}", digest, tmp_path / "copies" / name)
    assert (tmp_path / "copies/saved/deep/model").read_bytes() == b"\x00\xff" * 1000


@pytest.mark.parametrize("size", [0, 5, PART + 5])
def test_what_is_there_stays_as_it_is(cloud: Cloud, tmp_path: Path, size: int) -> None:
    (tmp_path / "old").write_bytes(b"a" * size)
    (tmp_path / "new").write_bytes(b"b" * (size + 1))
    store, key = cloud.store(), f"once-{size}"
    old = store.put(tmp_path / "old", key, absent=True)
    assert store.put(tmp_path / "new", key, absent=True) != old
    store.get(key, old, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == size


def test_of_many_that_put_a_key_at_once_one_wins(cloud: Cloud, tmp_path: Path) -> None:
    """Between the look whether something is there and the put of another."""

    def put(number: int) -> str:
        path = tmp_path / f"from-{number}"
        path.write_text(f"content {number}")
        return cloud.store().put(path, "race", absent=True)

    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(put, range(8)))
    came = [digest for digest in digests if comes(cloud.store(), digest, tmp_path / digest[-8:])]
    assert len(came) == 1


def comes(store: ObjectStore, digest: str, into: Path) -> bool:
    try:
        store.get("race", digest, into)
    except StageError:
        return False
    return True


def test_a_damaged_object_is_refused_and_not_left_behind(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("good")
    store = cloud.store()
    digest = store.put(tmp_path / "model", "damaged")
    store.put_bytes(b"evil", "damaged")
    with pytest.raises(StageError, match=rf"damaged in the store {cloud.scheme}://models/iris.* is damaged"):
        store.get("damaged", digest, tmp_path / "here" / "copy")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_large_file_goes_in_parts_also_when_two_runs_put_it_at_once(cloud: Cloud, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        for _ in range(40):
            file.write(os.urandom(MB))

    def keep(number: int) -> str:
        objects = cloud.store(patience=20.0)
        return BucketStore(objects, "machine-1", turns=Turns(tmp_path / f"turns-{number}")).put(
            tmp_path / "big"
        )

    with ThreadPoolExecutor(3) as pool:
        one, *others = pool.map(keep, range(3))
    kept = BucketStore(cloud.store(), "machine-1", turns=Turns(tmp_path / "turns"))
    kept.get(one, tmp_path / "copy")
    assert [*others] == [one, one] and kept.size(one) == 40 * MB
    assert (tmp_path / "copy").stat().st_size == 40 * MB


def test_what_a_machine_keeps_is_listed_and_swept(cloud: Cloud, tmp_path: Path) -> None:
    kept = BucketStore(cloud.store(), "machine-2", turns=Turns(tmp_path / "turns"))
    kept.check(writing=True)
    digests = []
    for number in range(12):
        (tmp_path / "model").write_text(f"model {number}")
        digests.append(kept.put(tmp_path / "model"))
    assert {one.digest for one in kept.kept()} == set(digests)
    kept.remove(digests[0])
    kept.remove(*digests)
    assert list(kept.kept()) == [] and kept.size(digests[3]) is None


def test_deleting_goes_on_after_a_key_that_is_not_there(cloud: Cloud) -> None:
    store = cloud.store()
    keys = [f"sweep/{number:03}" for number in range(300)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put_bytes(b"1", key), keys))
    store.delete("sweep/0-none", *keys[:150], "sweep/1-none", *keys[150:])
    assert list(store.list("sweep")) == []


def test_a_missing_bucket_is_said(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("model")
    store = cloud.store("nothing")
    for attempt in (store.check, lambda: store.put(tmp_path / "model", "model")):
        with pytest.raises(NotFoundError, match="has no bucket nothing"):
            attempt()


def test_a_wrong_credential_is_said(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("model")
    store = cloud.store(**cloud.wrong)
    for attempt in (
        store.check,
        lambda: store.put(tmp_path / "model", "model"),
        lambda: store.get("model", "file:0", tmp_path / "x"),
    ):
        with pytest.raises(UsageError, match="does not accept the credential") as raised:
            attempt()
        assert next(iter(cloud.wrong)).partition("_")[0] in (raised.value.hint or "")
        assert azurite.WRONG not in str(raised.value)


def test_an_endpoint_where_nobody_listens_is_said(cloud: Cloud) -> None:
    address = Address.parse(f"{cloud.scheme}://models/iris?endpoint=http://127.0.0.1:1/devstoreaccount1")
    with pytest.raises(UnreachableError, match=r"cannot be reached at http://127\.0\.0\.1:1: "):
        ObjectStore(address, cloud.variables, patience=0.5).check()


def test_a_signed_url_is_good_for_one_key_one_method_and_its_time(cloud: Cloud) -> None:
    store = cloud.store()
    headers = {"x-ms-blob-type": "BlockBlob"} if cloud.scheme == "az" else {}
    url = store.sign("PUT", "run/stage_4/1/model", timedelta(minutes=1))
    request(url, b"content", headers)
    assert request(store.sign("GET", "run/stage_4/1/model"), None) == b"content"
    for wrong in (url.replace("/stage_4/", "/stage_5/"), store.sign("GET", "run/stage_4/1/model")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            request(wrong, b"evil", headers)


def request(url: str, data: bytes | None, headers: dict[str, str] | None = None) -> bytes:
    made = urllib.request.Request(url, data, headers or {}, method="PUT" if data else "GET")
    try:
        with urllib.request.urlopen(made, timeout=60) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        raise


@emulators.needs(emulators.AZURITE)
def test_what_azures_own_tools_are_told_opens_the_store(tmp_path: Path) -> None:
    with azurite.server(tmp_path, "models") as running:
        said = f"AccountName={azurite.ACCOUNT};AccountKey={azurite.KEY};BlobEndpoint={running.endpoint}"
        ways: list[dict[str, str]] = [
            {"AZURE_STORAGE_CONNECTION_STRING": said},
            {"AZURE_STORAGE_KEY": azurite.KEY, "AZURE_STORAGE_SERVICE_ENDPOINT": running.endpoint},
        ]
        for number, variables in enumerate(ways):
            ObjectStore(Address.parse("az://models/iris"), variables).put_bytes(b"1", f"way-{number}")
        store = ObjectStore(Address.parse("az://models/iris"), ways[0])
        assert [one.key for one in store.list()] == ["way-0", "way-1"]


@emulators.needs(emulators.AZURITE)
def test_the_secret_alone_counts_not_what_is_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": "other",
        "AZURE_STORAGE_ACCOUNT_KEY": azurite.WRONG,
        "AZURE_STORAGE_SAS_TOKEN": "sv=2023-11-03&sig=other",
        "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:1",
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_SKIP_SIGNATURE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with azurite.server(tmp_path, "models") as running:
        secret = azurite.VARIABLES | {"AZURE_STORAGE_ENDPOINT": running.endpoint}
        store = ObjectStore(Address.parse("az://models/iris"), secret)
        store.put_bytes(b"1", "model")
        assert [one.key for one in store.list()] == ["model"]


@emulators.needs(emulators.AZURITE)
def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("model")
    with azurite.server(tmp_path, "models") as running:
        running.stop()
        threading.Timer(1.0, running.start).start()
        address = Address.parse(f"az://models/iris?endpoint={running.endpoint}")
        digest = ObjectStore(address, azurite.VARIABLES, patience=60.0).put(tmp_path / "model", "model")
        ObjectStore(address, azurite.VARIABLES).get("model", digest, tmp_path / "copy")


@emulators.needs(emulators.FAKE_GCS)
def test_what_googles_own_tools_are_told_opens_the_store(tmp_path: Path) -> None:
    address = Address.parse("gs://models/iris")
    with gcs.server(tmp_path, "models") as running:
        (tmp_path / "key.json").write_text(running.account.key)
        (tmp_path / ".config" / "gcloud").mkdir(parents=True)
        host = {"STORAGE_EMULATOR_HOST": running.endpoint.removeprefix("http://")}
        ObjectStore(
            address, {**host, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
        ).put_bytes(b"1", "way-0")
        (tmp_path / ".config" / "gcloud" / "application_default_credentials.json").write_text(
            running.account.key
        )
        store = ObjectStore(address, {**host, "HOME": str(tmp_path)})
        store.put_bytes(b"1", "way-1")
        assert [one.key for one in store.list()] == ["way-0", "way-1"]
        with pytest.raises(BodyworkError, match="does not accept the credential"):  # that of nobody
            ObjectStore(address, host).check()


@emulators.needs(emulators.AZURITE)
def test_what_cannot_sign_says_so(tmp_path: Path) -> None:
    address = Address.parse("az://models/iris?endpoint=http://127.0.0.1:1/devstoreaccount1")
    store = ObjectStore(address, {"AZURE_STORAGE_SAS_TOKEN": "?sv=2023-11-03&sp=rwl&sr=c&sig=aaaa"})
    with pytest.raises(UsageError, match="cannot be signed with this credential") as raised:
        store.sign("PUT", "run/stage/1/model")
    assert "AZURE_STORAGE_ACCOUNT_KEY" in (raised.value.hint or "")
    odd = ObjectStore(Address.parse("az://models/my models?endpoint=http://127.0.0.1:1/a"), azurite.VARIABLES)
    with pytest.raises(UsageError, match="my models"):
        odd.sign("PUT", "run/stage/1/model")
