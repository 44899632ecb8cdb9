"""What stages make and read, by commands on a real cluster: the store that is started, and one of ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import azurite
import emulators
from bodywork.artifacts.address import Address
from bodywork.artifacts.objects import ObjectStore
from bodywork.targets.kubernetes.kinds import POD, Object
from places import Cluster, deploy
from tool import Repository, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ENDPOINT = "http://10.250.0.1:17070"  # of the test cluster's `object-store`
CREDENTIAL = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "testtest",
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_REGION": "us-east-1",
}

YAML = """\
version: "2"
name: models
python: "3.12"
workflow: train >> check >> serve
store: STORE
stages:
  train:
    run: train.py
    outputs: {model: model.txt, parts: parts}
  check:
    run: check.py
    inputs: {model: train.model, parts: train.parts}
  serve:
    run: serve.py
    inputs: {model: train.model, parts: train.parts}
    service: {port: 5000, startup_timeout: 60s}
"""
TRAIN = """\
import os, time
from pathlib import Path

print("training", flush=True)
time.sleep(0)
Path(os.environ["BODYWORK_OUTPUT_MODEL"]).write_text("model NAME")
parts = Path(os.environ["BODYWORK_OUTPUT_PARTS"])
(parts / "deep").mkdir(parents=True)
(parts / "deep" / "weights.txt").write_text("weights NAME")
(parts / "run.sh").write_text("#!/bin/sh\\n")
(parts / "run.sh").chmod(0o755)
(parts / "empty").mkdir()
"""
READ = """\
import json, os
from pathlib import Path

def found():
    parts = Path(os.environ["BODYWORK_INPUT_PARTS"])
    return {
        "model": Path(os.environ["BODYWORK_INPUT_MODEL"]).read_text(),
        "weights": (parts / "deep" / "weights.txt").read_text(),
        "names": sorted(path.relative_to(parts).as_posix() for path in parts.rglob("*")),
        "runs": os.access(parts / "run.sh", os.X_OK),
        "credentials": sorted(name for name in os.environ if name.startswith(("AWS", "AZURE"))),
    }
"""
CHECK = f"{READ}\nprint(json.dumps(found()), flush=True)\n"
SERVE = f"""{READ}
import http.server

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(found()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""


def files(model: str, *, store: str | None = None, train: str = TRAIN) -> dict[str, str]:
    yaml = YAML.replace("STORE", store) if store else YAML.replace("store: STORE\n", "")
    return {
        "bodywork.yaml": yaml,
        "train.py": train.replace("NAME", model),
        "check.py": CHECK,
        "serve.py": SERVE,
    }


def facts(model: str) -> dict[str, Any]:
    """What each reader has to find."""
    return {
        "model": f"model {model}",
        "weights": f"weights {model}",
        "names": ["deep", "deep/weights.txt", "empty", "run.sh"],
        "runs": True,
        "credentials": [],
    }


def states(done: dict[str, Any]) -> list[str]:
    return [stage["state"] for stage in done["stages"]]


def ask(cluster: Cluster) -> dict[str, Any]:
    (answer,) = cluster.ask([(f"http://serve.{cluster.namespace}.svc:5000/", None)])
    found: dict[str, Any] = answer
    return found


def pods(cluster: Cluster, **labels: str) -> list[Object]:
    found = cluster.call(lambda api: api.list(POD, cluster.namespace, labels=labels))
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def names(cluster: Cluster) -> set[str]:
    """The pods of the service."""
    return {pod["metadata"]["name"] for pod in pods(cluster, **{"bodywork/stage": "serve"})}


def delete(cluster: Cluster, found: list[Object]) -> None:
    for pod in found:
        name = pod["metadata"]["name"]
        cluster.call(lambda api, name=name: api.delete(POD, name, cluster.namespace, grace=0))


def serves(cluster: Cluster) -> bool:
    (service,) = cluster.tool.good("status", "models", "-o", "json").json["services"]
    return bool(service["ready"] == service["replicas"])


@pytest.fixture
def outside(cluster: Cluster) -> ObjectStore:
    """A store of ours, with its credential in the namespace."""
    folder = os.environ.get("BODYWORK_TEST_CLUSTER")
    if not folder:
        pytest.skip("no S3 server that pods reach: set BODYWORK_TEST_CLUSTER")
    subprocess.run([Path(folder) / "object-store"], check=True)
    give(cluster, CREDENTIAL)
    return ObjectStore(Address.parse(f"s3://models/{cluster.namespace}"), CREDENTIAL)


@pytest.fixture
def azure(cluster: Cluster, reachable: str, tmp_path: Path) -> Iterator[str]:
    """The address of an Azure store of ours, with its credential in the namespace."""
    with azurite.server(tmp_path, "models", address=reachable) as running:
        give(cluster, azurite.VARIABLES)
        yield f"az://models/{cluster.namespace}?endpoint={running.endpoint}"


def give(cluster: Cluster, credential: dict[str, str]) -> None:
    cluster.make_namespace()
    metadata = {"name": "bodywork-store", "namespace": cluster.namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": credential}
    cluster.call(lambda api: api.create(secret))


@pytest.fixture(params=["started", "outside"])
def store(request: pytest.FixtureRequest, cluster: Cluster) -> str | None:
    """`store:` of bodywork.yaml: the started one, and ours."""
    if request.param == "started":
        return None
    request.getfixturevalue("outside")
    return f"s3://models/{cluster.namespace}"


def test_a_model_reaches_its_readers_and_outlives_all_pods(
    cluster: Cluster, repository: Repository, store: str | None
) -> None:
    repository.commit(files("a", store=store))
    first = deploy(cluster, repository)
    assert states(first) == ["succeeded"] * 3
    assert cluster.tool.good("logs", "models", "check").json == facts("a")
    assert ask(cluster) == facts("a")
    serving = names(cluster)
    again = deploy(cluster, repository)
    assert states(again) == ["succeeded", "succeeded", "unchanged"]
    assert names(cluster) == serving
    delete(cluster, pods(cluster))
    wait_for(lambda: names(cluster) - serving and serves(cluster), seconds=90, every=1)
    assert ask(cluster) == facts("a")
    only = deploy(cluster, repository, "--only", "check")
    assert only["state"] == "succeeded"
    assert cluster.tool.good("logs", "models", "check").json == facts("a")


def test_a_new_model_is_served_and_a_rollback_brings_the_old_one_back(
    cluster: Cluster, repository: Repository, store: str | None
) -> None:
    repository.commit(files("a", store=store))
    first = deploy(cluster, repository)
    repository.commit(files("b", store=store))
    assert states(deploy(cluster, repository)) == ["succeeded"] * 3
    assert ask(cluster) == facts("b")
    back = cluster.tool.good("rollback", "models", "-o", "json").json
    assert back["state"] == "succeeded"
    assert ask(cluster) == facts("a")
    (service,) = back["services"]
    assert service["commit"] == first["commit"]
    serving = names(cluster)
    delete(cluster, pods(cluster))
    wait_for(lambda: names(cluster) - serving and serves(cluster), seconds=90, every=1)
    assert ask(cluster) == facts("a")


@emulators.needs(emulators.AZURITE)
def test_all_of_it_with_azure(cluster: Cluster, repository: Repository, azure: str, tmp_path: Path) -> None:
    repository.commit(files("a", store=azure))
    done = deploy(cluster, repository)
    assert states(done) == ["succeeded"] * 3
    assert cluster.tool.good("logs", "models", "check").json == facts("a")
    assert ask(cluster) == facts("a")
    cluster.tool.good("artifacts", "get", done["run"], "train.model", "--to", str(tmp_path / "model"))
    assert (tmp_path / "model").read_text() == "model a"
    serving = names(cluster)
    delete(cluster, pods(cluster))
    wait_for(lambda: names(cluster) - serving and serves(cluster), seconds=90, every=1)
    assert ask(cluster) == facts("a")


SLOW = TRAIN.replace("sleep(0)", "sleep(4)")


def test_the_store_is_lost_in_the_middle_of_a_run(cluster: Cluster, repository: Repository) -> None:
    repository.commit(files("a"))
    deploy(cluster, repository)
    repository.commit(files("b", train=SLOW))
    with cluster.tool.start("deploy", str(repository.path)) as run:
        wait_for(lambda: running(cluster, "train"), seconds=60, every=0.3)
        delete(cluster, pods(cluster, **{"app.kubernetes.io/name": "bodywork-store"}))
        out, err = run.communicate(timeout=240)
    assert run.returncode == 0, f"{out}\n{err}"
    assert ask(cluster) == facts("b")


def running(cluster: Cluster, stage: str) -> bool:
    return any(pod["status"]["phase"] == "Running" for pod in pods(cluster, **{"bodywork/stage": stage}))


def test_what_was_damaged_in_the_store_is_refused(
    cluster: Cluster, repository: Repository, outside: ObjectStore, tmp_path: Path
) -> None:
    repository.commit(files("a", store=f"s3://models/{cluster.namespace}"))
    done = deploy(cluster, repository)
    (tmp_path / "other").write_text("model z")
    outside.put(tmp_path / "other", f"models/{done['run']}/train/1/model")
    answer = cluster.tool("deploy", str(repository.path), "--only", "check")
    assert answer.code == 1
    assert "damaged" in answer.err
    delete(cluster, pods(cluster, **{"bodywork/stage": "serve"}))
    wait_for(lambda: "damaged" in reason(cluster), seconds=60, every=1)


def reason(cluster: Cluster) -> str:
    (service,) = cluster.tool.good("status", "models", "-o", "json").json["services"]
    return str(service["reason"])
