"""`bodywork artifacts` and `prune` on a cluster: what runs made comes here, and old runs go with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import s3
from bodywork.run.retention import Policy
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP
from bodywork.targets.kubernetes.records.records import ClusterRecords
from bodywork.targets.kubernetes.store.outside import Outside
from places import Cluster
from tool import Repository

pytestmark = pytest.mark.cluster

FILE = """
version: "2"
name: demo
python: "3.12"
workflow: make >> serve
stages:
  make: {run: make.py, outputs: {model: model.txt}}
  serve: {run: serve.py, inputs: {model: make.model}, service: {port: 5000}}
"""
MAKE = "import os\nopen(os.environ['BODYWORK_OUTPUT_MODEL'], 'w').write(os.environ['BODYWORK_RUN'])\n"
SERVE = """
import http.server, os
os.chdir(os.path.dirname(os.environ["BODYWORK_INPUT_MODEL"]))
http.server.test(http.server.SimpleHTTPRequestHandler, port=5000, bind="0.0.0.0")
"""


def keys(cluster: Cluster) -> set[str]:
    """The runs of which the store of the namespace has anything."""

    async def listed(api: object) -> set[str]:
        store = await Outside.writer(api, cluster.namespace)  # type: ignore[arg-type]
        return {one.key.split("/")[1] async for one in store.list("demo/")}

    return cluster.call(listed)


def test_what_runs_made_is_listed_got_and_pruned(
    cluster: Cluster, repository: Repository, tmp_path: Path
) -> None:
    tool = cluster.tool
    repository.commit({"bodywork.yaml": FILE, "make.py": MAKE, "serve.py": SERVE})
    options = ["deploy", str(repository.path), "--output", "json"]
    served = tool.good(*options, timeout=300).json["run"]
    runs = [tool.good(*options, "--only", "make", timeout=300).json["run"] for _ in range(3)]
    listed = tool.good("artifacts", "demo", "--output", "json").json
    assert [(one["run"], one["serves"]) for one in listed] == [
        *((run, []) for run in reversed(runs)),
        (served, ["serve"]),
    ]
    got = tool.good("artifacts", "get", served, "make.model", "--to", str(tmp_path / "model")).out.strip()
    assert Path(got).read_text() == served
    assert keys(cluster) == {served, *runs}
    told = tool.good("prune", "demo", "--keep", "1", "--dry-run", "--output", "json").json
    assert {one["run"] for one in told["runs"]} == set(runs[:2])
    freed = tool.good("prune", "demo", "--keep", "1", "--yes", "--output", "json").json
    assert freed == told and freed["bytes"] == sum(len(run) for run in runs[:2])
    assert keys(cluster) == {served, runs[2]}
    left = {one["run"] for one in tool.good("runs", "demo", "--output", "json").json}
    assert left == {served, runs[2]}
    tool.good("delete", "demo", "--yes", timeout=120)


@pytest.mark.skipif(s3.PROGRAM is None, reason="no versitygw on PATH")
def test_what_forgotten_runs_left_in_a_bucket_is_pruned_and_nothing_else(
    cluster: Cluster, repository: Repository, tmp_path: Path, reachable: str
) -> None:
    """Also of runs whose records went by themselves, as those beyond the newest 20 do."""
    with s3.server(tmp_path / "s3", "models", address=reachable) as bucket:
        for name, value in {**s3.VARIABLES, "AWS_ENDPOINT_URL": bucket.endpoint}.items():
            assert cluster.tool.told("secret", "set", "bodywork-store", name, text=value).code == 0
        theirs = bucket.root / "models" / "iris" / "demo" / "20250101-060000-aaaa" / "make" / "1" / "model"
        theirs.parent.mkdir(parents=True)
        theirs.write_text("somebody else's")
        only_make = FILE.replace("make >> serve", "make").partition("  serve:")[0]
        project = only_make.replace("name: demo\n", "name: demo\nstore: s3://models/iris\n")
        repository.commit({"bodywork.yaml": project, "make.py": MAKE})
        deploy = ("deploy", str(repository.path), "--output", "json")
        runs = [cluster.tool.good(*deploy, timeout=300).json["run"] for _ in range(4)]

        async def trim(api: Api) -> list[str]:
            records = ClusterRecords(api, "kubernetes", namespace=cluster.namespace)
            return await records.trim("demo", Policy(keep=3))

        assert cluster.call(trim) == runs[:1]
        assert len(bucket.objects("models")) == 5
        freed = cluster.tool.good("prune", "demo", "--keep", "2", "--yes", "--output", "json").json
        assert [one["run"] for one in freed["runs"]] == runs[1:2]
        assert freed["bytes"] == sum(len(run) for run in runs[:2])
        assert sorted(bucket.objects("models").values()) == sorted([*runs[2:], "somebody else's"])
        again = cluster.tool.good("prune", "demo", "--keep", "2", "--yes", "--output", "json").json
        assert (again["runs"], again["bytes"]) == ([], 0)
        cluster.tool.good("delete", "demo", "--yes", timeout=120)
    labels = {"bodywork/record": "left"}
    assert cluster.call(lambda api: api.list(CONFIG_MAP, cluster.namespace, labels=labels)) == []
