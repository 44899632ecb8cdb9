"""The store of a namespace, asked by way of the API server: a real S3 server behind one of the test's own.

It passes requests on as an API server does: below a path of its own, with the Host that it was asked by.
"""

from __future__ import annotations

import asyncio
import base64
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import s3
from bodywork.artifacts import pieces
from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.errors import BodyworkError, NotFoundError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.store.outside import Outside
from loopback import Asked, Reply, Server

pytestmark = pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")
BELOW = "/api/v1/namespaces/iris/services/bodywork-store:7070/proxy"
NAMES = [f"iris/run-{number}/train/1/model" for number in range(4)]


@pytest.fixture
async def store(tmp_path: Path, connect: Callable[..., Api]) -> AsyncIterator[Outside]:
    with s3.server(tmp_path, "bodywork") as behind:
        kept = ObjectStore(Address.parse(f"s3://bodywork?endpoint={behind.endpoint}"), s3.VARIABLES)
        (tmp_path / "model").write_text("a model")
        for name in NAMES:
            kept.put(tmp_path / "model", name)
        for key, content in {"big": b"a model", "big.2": b" and an", "big.3": b"other"}.items():
            kept.put_bytes(content, f"pieces/{key}")

        async def handler(asked: Asked) -> Reply:
            if asked.path.endswith("/secrets/bodywork-store-writer"):
                data = {key: base64.b64encode(value.encode()).decode() for key, value in s3.VARIABLES.items()}
                return Reply(body={"kind": "Secret", "metadata": {"name": "x"}, "data": data})
            if not asked.path.startswith(BELOW):
                return Reply(status=404, body={"kind": "Status", "code": 404, "message": "no such thing"})
            return await asyncio.to_thread(passed_on, behind, asked)

        async with Server(handler) as server:
            yield await Outside.writer(connect(server.url), "iris")


def passed_on(behind: s3.Server, asked: Asked) -> Reply:
    request = urllib.request.Request(
        behind.endpoint + asked.target.removeprefix(BELOW),
        method=asked.method,
        headers={"Host": asked.headers["host"]},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return Reply(status=answer.status, body=answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(status=error.code, body=error.read(), headers={"Content-Type": "application/xml"})


async def test_objects_are_listed_got_and_deleted(store: Outside, tmp_path: Path) -> None:
    assert [(one.key, one.size) async for one in store.list("iris/")] == [(name, 7) for name in NAMES]
    assert [one.key async for one in store.list("iris/run-2")] == [NAMES[2]]
    await store.download(NAMES[0], tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "a model"
    await store.delete([NAMES[0], NAMES[1], "iris/run-9/train/1/model"])
    assert [one.key async for one in store.list("iris/")] == NAMES[2:]
    with pytest.raises(NotFoundError):
        await store.download(NAMES[0], tmp_path / "again")


async def test_pieces_are_got_as_one(store: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 7)  # as many bytes as each has
    await store.download("pieces/big", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "a model and another"


async def test_a_signature_is_good_for_nothing_else(store: Outside, tmp_path: Path) -> None:
    wrong = {**store.credential, "AWS_SECRET_ACCESS_KEY": "wrong"}
    other = Outside(api=store.api, namespace="iris", service=store.service, credential=wrong)
    with pytest.raises(BodyworkError):
        await other.download(NAMES[0], tmp_path / "copy")


async def test_a_namespace_without_a_store_is_said(connect: Callable[..., Api]) -> None:
    async def nothing(asked: Asked) -> Reply:
        return Reply(status=404, body={"kind": "Status", "code": 404, "message": "none"})

    async with Server(nothing) as server:
        with pytest.raises(NotFoundError, match="namespace iris has no store of artifacts"):
            await Outside.reader(connect(server.url), "iris")
