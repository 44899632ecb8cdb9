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


WINE = {"alcohol": 13.9, "malic_acid": 1.8, "color_intensity": 5.6, "proline": 1100}


def test_train_and_serve_switches_to_the_new_model_without_a_lost_request(
    tool: Tool, example: Example
) -> None:
    project = example("train-and-serve", date=TODAY)
    first = deploy(tool, project)
    url = url_of(first, "serve")
    assert ask(f"{url}/predict", WINE)["run"] == first["run"]
    with loaded(url, "/health") as load:
        second = deploy(tool, project)
        switched = time.monotonic()
        wait_for(lambda: load.after(switched + 1), seconds=10)
    assert load.failures == []
    assert second["run"] != first["run"]
    for _ in range(20):
        assert ask(f"{url}/predict", WINE)["run"] == second["run"]
    assert not any(first["run"] in body for body in load.after(switched + 0.5))


def test_version_1_1_deploys_unchanged(tool: Tool, example: Example) -> None:
    done = deploy(tool, example("version-1.1", date="2022-06-01T12:00:00+00:00"))
    names = {service["name"]: service for service in done["services"]}
    assert len(names) == 2
    assert all(service["ready"] == service["replicas"] for service in names.values())
    url = url_of(done, "web_service")
    answers = [ask(f"{url}/?petal_length=1.4&petal_width=0.2") for _ in range(40)]
    assert {answer["species"] for answer in answers} == {"setosa"}
    assert len({answer["answered_by"] for answer in answers}) == 2
    assert len({answer["scored_by"] for answer in answers}) == 2


def test_the_packages_of_2022_are_those_of_2022(tool: Tool, example: Example) -> None:
    project = example("version-1.1", date="2022-06-01T12:00:00+00:00")
    digests = [
        {stage["name"]: stage["environment"] for stage in plan["stages"]}
        for plan in (tool.good("plan", str(project.path), "-o", "json").json for _ in range(2))
    ]
    assert digests[0] == digests[1]
    locks = "".join(
        path.read_text() for path in (tool.home / "state" / "environments").rglob("*") if path.is_file()
    )
    assert "werkzeug==2.1.2" in locks
