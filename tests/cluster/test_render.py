"""What `bodywork render` prints is applied by kubectl, as GitOps would, and deploys the project."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from places import Cluster
from tool import Repository, wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl in PATH"),
]
ROOT = Path(__file__).resolve().parents[2]
TODAY = "2026-11-01T12:00:00+00:00"
WINE = {"alcohol": 13.9, "malic_acid": 1.8, "color_intensity": 5.6, "proline": 1100}

FLOWER = {"sepal_length": 6.1, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8}


def kubectl(*arguments: str, objects: str) -> list[str]:
    """Its lines, sorted; warnings go to stderr and count as failures."""
    done = subprocess.run(
        ["kubectl", *arguments], input=objects, capture_output=True, text=True, env=os.environ, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return sorted(done.stdout.splitlines())


def test_the_example_is_accepted(cluster: Cluster) -> None:
    del cluster.tool.extra["BODYWORK_NAMESPACE"]
    objects = cluster.tool.good("render", "examples/train-and-serve", cwd=ROOT, timeout=600).out
    lines = kubectl("apply", "--dry-run=server", "-f", "-", objects=objects)
    assert lines
    assert all(line.endswith("created (server dry run)") for line in lines)


def applied(cluster: Cluster, project: Repository, *how: str) -> str:
    """Apply what is rendered of a project; it, once the run has succeeded in the cluster."""
    objects = cluster.tool.good("render", str(project.path), timeout=600).out
    made = kubectl("apply", *how, "-f", "-", objects=objects)
    assert f"namespace/{cluster.namespace} {'serverside-applied' if how else 'created'}" in made
    wait_for(lambda: status(cluster).get("state", "running") != "running", seconds=900, every=2)
    now = status(cluster)
    assert (now["state"], now["reason"]) == ("succeeded", "")
    assert {(one["ready"], one["replicas"]) for one in now["services"]} == {(2, 2)}
    return objects


def status(cluster: Cluster) -> dict[str, Any]:
    """As JSON; {} when there is none yet."""
    pipelines = cluster.tool.good("status", "-o", "json").json
    return dict(pipelines[0]) if pipelines else {}


def test_applied_it_serves_and_applied_again_it_changes_nothing(
    cluster: Cluster, example: Callable[..., Repository]
) -> None:
    project = example("train-and-serve", date=TODAY)
    objects = applied(cluster, project)
    before = status(cluster)
    (answer,) = cluster.ask([(f"{before['services'][0]['url']}/predict", WINE)])
    assert (answer["cultivar"], answer["run"]) == (0, before["run"])
    assert "chosen: " in cluster.tool.good("logs", "train-and-serve", "choose").out

    assert cluster.tool.good("render", str(project.path), timeout=600).out == objects
    again = kubectl("apply", "-f", "-", objects=objects)
    assert {line.rpartition(" ")[2] for line in again} == {"unchanged"}
    assert status(cluster) == before

    cluster.tool.good("delete", "train-and-serve", "--yes")
    assert cluster.tool("status", "train-and-serve").code == 2


def test_a_server_side_apply(cluster: Cluster, example: Callable[..., Repository]) -> None:
    objects = applied(cluster, example("deploy-service", date=TODAY), "--server-side")
    before = status(cluster)
    (answer,) = cluster.ask([(f"{before['services'][0]['url']}/predict", FLOWER)])
    assert answer["species"] == "virginica"
    kubectl("apply", "--server-side", "-f", "-", objects=objects)
    assert status(cluster) == before
