"""Every example runs, and does what its README says."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from load import loaded
from tool import Repository, Tool, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.network]
Example = Callable[..., Repository]
TODAY = "2026-11-01T12:00:00+00:00"


def ask(url: str, document: Any = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def deploy(tool: Tool, project: Repository, *options: str) -> dict[str, Any]:
    answer: dict[str, Any] = tool.good(
        "deploy", str(project.path), "--output", "json", *options, timeout=600
    ).json
    return answer


def url_of(done: dict[str, Any], stage: str) -> str:
    url: str = next(service["url"] for service in done["services"] if service["name"] == stage)
    return url


def test_batch_job(tool: Tool, example: Example) -> None:
    done = deploy(tool, example("batch-job", date=TODAY))
    assert done["state"] == "succeeded"
    assert any("predictions" in stage["outputs"] for stage in done["stages"])


def test_deploy_service(tool: Tool, example: Example) -> None:
    done = deploy(tool, example("deploy-service", date=TODAY))
    assert done["services"][0]["ready"] == done["services"][0]["replicas"] == 2


def test_notebook(tool: Tool, example: Example) -> None:
    done = deploy(tool, example("notebook", date=TODAY))
    assert done["state"] == "succeeded"
    kept = list((tool.home / "state" / "runs" / done["run"] / "notebooks").glob("*.ipynb"))
    assert len(kept) == 1
    cells = json.loads(kept[0].read_text())["cells"]
    assert any(cell.get("outputs") for cell in cells)


FLOWER = {"features": [13.2, 2.8, 2.5, 18.0, 98.0, 2.4, 2.1, 0.3, 1.6, 5.0, 1.0, 2.9, 700.0]}


def test_train_and_serve_switches_to_the_new_model_without_a_lost_request(
    tool: Tool, example: Example
) -> None:
    project = example("train-and-serve", date=TODAY)
    first = deploy(tool, project)
    url = url_of(first, "serve")
    assert ask(f"{url}/predict", FLOWER)["run"] == first["run"]
    with loaded(url, "/health") as load:
        second = deploy(tool, project)
        switched = time.monotonic()
        wait_for(lambda: load.after(switched + 1), seconds=10)
    assert load.failures == []
    assert second["run"] != first["run"]
    for _ in range(20):
        assert ask(f"{url}/predict", FLOWER)["run"] == second["run"]
    assert not any(first["run"] in body for body in load.after(switched + 0.5))


def test_version_1_1_deploys_unchanged(tool: Tool, example: Example) -> None:
    done = deploy(tool, example("version-1.1", date="2022-06-01T12:00:00+00:00"))
    names = {service["name"]: service for service in done["services"]}
    assert len(names) == 2
    assert all(service["ready"] == service["replicas"] for service in names.values())
    assert any(service["replicas"] == 2 for service in names.values())
