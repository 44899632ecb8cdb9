"""The store that bodywork starts in a namespace, on a real cluster: signed URLs from pods, crashes, words."""

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import s3
from bodywork.artifacts.objects import ObjectStore
from bodywork.errors import StageError, UsageError
from bodywork.run.plan import Action, Plan, PlannedStage, Source
from bodywork.spec.model import Input, Output, Project, Service, Stage
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import (
    DEPLOYMENT,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    Object,
)
from bodywork.targets.kubernetes.manifests import store as manifests
from bodywork.targets.kubernetes.manifests.containers import InitContainer
from bodywork.targets.kubernetes.manifests.namespace import namespace as namespace_of
from bodywork.targets.kubernetes.manifests.security import container_security, pod_security
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.store import store, store_server
from bodywork.targets.kubernetes.store.location import Location

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster (KUBECONFIG)"),
]

TRAIN = Stage(name="train", object_name="train", run="train.py", outputs=(Output(name="model", file="m"),))
SERVE = Stage(
    name="serve",
    object_name="serve",
    run="serve.py",
    inputs=(Input(name="model", stage="train", output="model"),),
    does=Service(port=5000),
)
MODEL = Location(run="r-1", stage="train", attempt=1, output="model")

ASKED = """
import sys, time, urllib.error, urllib.request

def asked(request, deadline=time.monotonic() + 60):
    # As a stage does, whose node may learn late of a new store: until then it is refused.
    while True:
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
"""
PUT = f"""{ASKED}
data = sys.argv[2].encode() * int(sys.argv[3])
print(asked(urllib.request.Request(sys.argv[1], data=data, method="PUT")).status)
"""
GET = f"""{ASKED}
print(asked(sys.argv[1]).read().decode())
"""
REFUSED = """
import sys, urllib.request, urllib.error
for method, url in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        print(urllib.request.urlopen(urllib.request.Request(url, data=b"evil", method=method)).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


def plan_of(*stages: Stage, address: str | None = None) -> Plan:
    project = Project(name="iris", object_name="iris", version="2", stages=stages, steps=(), store=address)
    source = Source(repository="r", ref="main", commit="0" * 40, file="bodywork.yaml", folder="", files="")
    planned = [
        PlannedStage(stage=stage, action=Action.RUN, reason="", environment="", fingerprint="")
        for stage in stages
    ]
    return Plan(run="r-1", target="kubernetes", project=project, source=source, stages=tuple(planned))


def settings_of(namespace: str, **said: str) -> Settings:
    return Settings.of(plan_of().project, {**os.environ, **said}, namespace=namespace)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api.open(os.environ) as opened:
        yield opened


@pytest.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    async with made_namespace(api) as name:
        yield name


@asynccontextmanager
async def made_namespace(api: Api) -> AsyncIterator[str]:
    name = f"store-{secrets.token_hex(4)}"
    await api.apply(namespace_of(plan_of().project, settings_of(name)))
    try:
        yield name
    finally:
        await api.delete(NAMESPACE, name)


async def in_pod(api: Api, namespace: str, code: str, *args: str, init: InitContainer | None = None) -> str:
    """What a Python program prints in a pod of the namespace."""
    name = f"asks-{secrets.token_hex(4)}"
    settings = settings_of(namespace)
    shared: Object = {
        "imagePullPolicy": settings.pull_policy,
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    program = {
        "name": "python",
        "image": settings.tool_image,
        "command": ["python3", "-c", code, *args],
        **shared,
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": pod_security(),
        "initContainers": [{**of_init(init), **shared}] if init else [],
        "containers": [program],
        "volumes": [{"name": "work", "emptyDir": {}}],
    }
    metadata = {"name": name, "namespace": namespace}
    await api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    async with aclosing(api.watch(POD, namespace, fields=f"metadata.name={name}")) as watched:
        async for seen in watched:
            phase = (seen.object or {}).get("status", {}).get("phase")
            if phase in ("Succeeded", "Failed"):
                failed = "bring" if phase == "Failed" and init else "python"
                printed = b"".join([part async for part in api.log(name, namespace, container=failed)])
                assert phase == "Succeeded", printed.decode()
                return printed.decode().strip()
    raise AssertionError("the watch ended")


def of_init(asked: InitContainer) -> Object:
    return {
        "name": asked.name,
        "image": asked.image,
        "command": list(asked.command),
        "env": [{"name": name, "value": value} for name, value in asked.variables.items()],
        "envFrom": [{"secretRef": {"name": name}} for name in asked.secrets],
    }


async def started(api: Api, namespace: str, *stages: Stage) -> store.PipelineStore:
    found = await store.ensure(api, plan_of(*(stages or (TRAIN, SERVE))), settings_of(namespace), {})
    assert found is not None
    return found


async def test_a_stage_puts_and_another_gets_and_neither_may_do_more(api: Api, namespace: str) -> None:
    made = await started(api, namespace)
    assert await in_pod(api, namespace, PUT, made.upload(MODEL).url, "model", "1") == "200"
    assert await in_pod(api, namespace, GET, made.download(MODEL).url) == "model"
    other = made.upload(MODEL).url.replace("/r-1/", "/r-2/")
    refused = ["PUT", other, "PUT", made.download(MODEL).url, "DELETE", made.upload(MODEL).url]
    assert (await in_pod(api, namespace, REFUSED, *refused)).split() == ["403", "403", "403"]


async def test_what_it_keeps_outlives_its_pod(api: Api, namespace: str) -> None:
    made = await started(api, namespace)
    await in_pod(api, namespace, PUT, made.upload(MODEL).url, "model", "1")
    before = await api.list(POD, namespace, labels=manifests.LABELS)
    for pod in before:
        await api.delete(POD, pod["metadata"]["name"], namespace, grace=0)
    again = await started(api, namespace)
    assert signed_by(again.download(MODEL).url) == signed_by(made.download(MODEL).url)
    assert await in_pod(api, namespace, GET, made.download(MODEL).url) == "model"


def signed_by(url: str) -> str:
    """The key with which a URL was signed."""
    return parse_qs(urlsplit(url).query)["X-Amz-Credential"][0].partition("/")[0]


async def objects(api: Api, namespace: str) -> set[tuple[str, int]]:
    """What stands for the store, and how often each of it has been changed."""
    kinds = (DEPLOYMENT, SERVICE, PERSISTENT_VOLUME_CLAIM, SECRET)
    found = [one["metadata"] for kind in kinds for one in await api.list(kind, namespace)]
    return {(one["uid"], one.get("generation", 0)) for one in found}


async def test_two_runs_start_it_at_once_and_a_third_finds_it_as_it_is(api: Api, namespace: str) -> None:
    one, two = await asyncio.gather(started(api, namespace), started(api, namespace, TRAIN))
    assert signed_by(one.download(MODEL).url) == signed_by(two.download(MODEL).url)
    before, began = await objects(api, namespace), time.monotonic()
    await started(api, namespace)
    assert time.monotonic() - began < 2
    assert len(before) >= 4 and await objects(api, namespace) == before


async def test_the_reader_cannot_write_and_the_writers_key_is_not_the_readers(
    api: Api, namespace: str
) -> None:
    made = await started(api, namespace)
    await in_pod(api, namespace, PUT, made.upload(MODEL).url, "model", "1")
    secret = await api.get(SECRET, manifests.READER, namespace)
    assert secret is not None and made.secret == manifests.READER
    reader = ObjectStore(made.reads, store_server.decoded(secret))
    key = made.key(MODEL)
    assert await in_pod(api, namespace, GET, reader.sign("GET", key)) == "model"
    writing = ObjectStore(made.signer.address, store_server.decoded(secret))
    refused = ["PUT", reader.sign("PUT", key), "PUT", writing.sign("PUT", key)]
    assert "200" not in await in_pod(api, namespace, REFUSED, *refused)


async def test_a_services_pod_is_brought_what_it_reads_also_while_the_store_restarts(
    api: Api, namespace: str
) -> None:
    made = await started(api, namespace)
    await in_pod(api, namespace, PUT, made.upload(MODEL).url, "model", "1")
    for pod in await api.list(POD, namespace, labels=manifests.LABELS):
        await api.delete(POD, pod["metadata"]["name"], namespace, grace=0)
    serve = plan_of(TRAIN, SERVE).stage("serve")

    def bringing(content: bytes) -> InitContainer:
        digest = f"file:{hashlib.sha256(content).hexdigest()}"
        files, digests, where = {"model": "m"}, {"model": digest}, {"model": MODEL}
        return made.bringing(serve, files, digests, where, settings_of(namespace))

    read = "print(open('/work/inputs/model/m').read())"
    assert await in_pod(api, namespace, read, init=bringing(b"model")) == "model"
    with pytest.raises(AssertionError, match="is damaged: its digest is"):
        await in_pod(api, namespace, read, init=bringing(b"another"))


async def test_remove_takes_the_store_and_leaves_what_is_not_ours(api: Api, namespace: str) -> None:
    await started(api, namespace)
    theirs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bodywork-store", "namespace": namespace},
    }
    await api.create(theirs)
    await store_server.remove(api, namespace)
    assert await api.get(SERVICE, manifests.NAME, namespace) is None
    assert await api.get(SECRET, manifests.WRITER, namespace) is None
    claim = await api.get(PERSISTENT_VOLUME_CLAIM, manifests.NAME, namespace)
    assert claim is None or claim["metadata"].get("deletionTimestamp")
    assert await api.get(SECRET, "bodywork-store", namespace) is not None


async def test_a_wrong_image_is_said_with_what_to_do(api: Api, namespace: str) -> None:
    await started(api, namespace)  # its volume is made: what is waited for is the image alone
    told: list[str] = []
    with pytest.raises(StageError, match="no-such-image:1 cannot be pulled") as raised:
        await store_server.start(
            api,
            settings_of(namespace, BODYWORK_STORE_IMAGE="localhost/no-such-image:1"),
            note=told.append,
            patience=20.0,
        )
    assert "BODYWORK_STORE_IMAGE" in (raised.value.hint or "")
    assert told


async def test_a_service_of_somebody_else_with_its_name_is_left_alone(api: Api, namespace: str) -> None:
    theirs: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": manifests.NAME, "namespace": namespace},
        "spec": {"ports": [{"port": 80}]},
    }
    await api.create(theirs)
    with pytest.raises(UsageError, match="has a Service bodywork-store that bodywork did not make"):
        await started(api, namespace)


async def test_plan_says_what_a_store_of_ones_own_lacks(api: Api, namespace: str) -> None:
    settings, key = settings_of(namespace), {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    async def lacks(*stages: Stage, address: str | None = None) -> str:
        return await store.lacks(api, plan_of(*stages, address=address), settings, key)

    assert await lacks(TRAIN) == ""  # the test cluster has a default storage class
    assert "pods cannot reach the folder /srv/models" in await lacks(TRAIN, address="file:///srv/models")
    assert "is no name of a bucket" in await lacks(TRAIN, address="s3:///models")
    away = "s3://models/iris?endpoint=http://127.0.0.1:9"  # from here; what pods reach is not known
    assert await lacks(TRAIN, address=away) == ""
    said = await lacks(TRAIN, SERVE, address=away)
    assert f"service serve read from {away} and need a credential" in said
    assert f"bodywork secret set bodywork-store KEY --target kubernetes --namespace {namespace}" in said
    await api.create(user_secret(namespace, key))
    assert await lacks(TRAIN, SERVE, address=away) == ""


def user_secret(namespace: str, content: dict[str, str]) -> Object:
    metadata = {"name": store.GIVEN, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}


@pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH")
async def test_a_store_of_ones_own_by_the_environment_and_by_a_secret(
    api: Api, namespace: str, tmp_path: Path
) -> None:
    with s3.server(tmp_path, "models") as server:
        plan = plan_of(TRAIN, SERVE, address=f"s3://models/iris?endpoint={server.endpoint}")
        await api.create(user_secret(namespace, {**s3.VARIABLES, "AWS_SECRET_ACCESS_KEY": "wrong"}))
        said = await store.lacks(api, plan, settings_of(namespace), s3.VARIABLES)
        assert "does not accept the credential" in said
        with pytest.raises(UsageError, match="does not accept the credential"):
            await store.ensure(api, plan, settings_of(namespace), s3.VARIABLES)
        await api.delete(SECRET, store.GIVEN, namespace)
        await api.create(user_secret(namespace, s3.VARIABLES))
        made = await store.ensure(api, plan, settings_of(namespace), {})
        assert made is not None and made.secret == store.GIVEN
        (tmp_path / "model").write_text("model")
        made.signer.put(tmp_path / "model", made.key(MODEL))
        assert server.file("models", "iris/iris/r-1/train/1/model").read_text() == "model"
    assert await api.get(SERVICE, manifests.NAME, namespace) is None
