"""`bodywork artifacts` and `prune` on a cluster: what runs made comes here, and old runs go with it."""

from __future__ import annotations

from pathlib import Path

import pytest

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
