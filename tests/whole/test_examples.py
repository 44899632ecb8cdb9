"""Every example runs, does what its README says, and does the same on both targets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from places import Place, deploy
from tool import Repository, Tool, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.network]
Example = Callable[..., Repository]
TODAY = "2026-11-01T12:00:00+00:00"
IN_2022 = "2022-06-01T12:00:00+00:00"


def url_of(done: dict[str, Any], stage: str) -> str:
    url: str = next(service["url"] for service in done["services"] if service["name"] == stage)
    return url


def states(done: dict[str, Any]) -> dict[str, str]:
    assert done["state"] == "succeeded"
    return {stage["name"]: stage["state"] for stage in done["stages"]}


def outputs(done: dict[str, Any], stage: str) -> dict[str, str]:
    made: dict[str, str] = next(one["outputs"] for one in done["stages"] if one["name"] == stage)
    return made


def replicas(done: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {one["name"]: (one["ready"], one["replicas"]) for one in done["services"]}


def check_gone(place: Place, pipeline: str) -> None:
    place.tool.good("delete", pipeline, "--yes")
    assert place.tool("status", pipeline).code == 2


SCORED = """\
score | scored 100 patients, 20 of them at 200 or more
score | mean absolute error against what was measured a year later: 41.3
"""
PREDICTIONS = "file:cff8f1bb5a126805d36e0f9473149cc45b73ea47f55c023e1b66f996cf7627d8"


def test_batch_job(place: Place, example: Example) -> None:
    done = deploy(place, example("batch-job", date=TODAY))
    assert states(done) == {"score": "succeeded"}
    assert outputs(done, "score") == {"predictions": PREDICTIONS}
    assert place.tool.good("logs", "batch-job").out == SCORED
    check_gone(place, "batch-job")


FLOWER = {"sepal_length": 6.1, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8}


def test_deploy_service(place: Place, example: Example) -> None:
    project = example("deploy-service", date=TODAY)
    done = deploy(place, project)
    assert (states(done), replicas(done)) == ({"serve": "succeeded"}, {"serve": (2, 2)})
    (answer,) = place.ask([(f"{url_of(done, 'serve')}/predict", FLOWER)])
    assert answer == {"species": "virginica", "probability": 0.927}
    again = deploy(place, project)
    assert states(again) == {"serve": "unchanged"}
    assert again["services"][0]["release"] == done["run"]
    check_gone(place, "deploy-service")


SUMMARY = "file:7cbd945a2d90537a6d4369a001837b3ecc00810f7c15b512310dc8e5da614a23"
REPORT = "file:c3ca31fe8916c41331ec95adcc47ee5622c612cf891f855767a541672981f166"
TOLD = """\
[cell 1/4]
3 species, 150 flowers
[cell 2/4]
| species | flowers | sepal_length | sepal_width | petal_length | petal_width |
|---|---|---|---|---|---|
| setosa | 50 | 5.01 | 3.43 | 1.46 | 0.25 |
| versicolor | 50 | 5.94 | 2.77 | 4.26 | 1.33 |
| virginica | 50 | 6.59 | 2.97 | 5.55 | 2.03 |
[cell 3/4]
petal_width   ######################################### 8.1
petal_length  ################### 3.8
sepal_length  ####### 1.3
sepal_width   ###### 1.2
[cell 4/4]
'petal_width'
"""


def test_notebook(place: Place, example: Example) -> None:
    done = deploy(place, example("notebook", date=TODAY))
    assert states(done) == {"summarise": "succeeded", "report": "succeeded"}
    assert outputs(done, "summarise") == {"summary": SUMMARY}
    assert outputs(done, "report") == {"report": REPORT}
    told = place.tool.good("logs", "notebook", "report").out.splitlines()
    assert sorted(told) == sorted(TOLD.splitlines())  # which cell runs is said on stderr


def test_the_executed_notebook_is_kept_on_this_machine(tool: Tool, example: Example) -> None:
    done = tool.good("deploy", str(example("notebook", date=TODAY).path), "-o", "json", timeout=600).json
    kept = list((tool.home / "state" / "runs" / done["run"] / "notebooks").glob("*.ipynb"))
    assert len(kept) == 1
    cells = json.loads(kept[0].read_text())["cells"]
    assert any(cell.get("outputs") for cell in cells)


WINE = {"alcohol": 13.9, "malic_acid": 1.8, "color_intensity": 5.6, "proline": 1100}
SPLIT = {
    "training": "file:513829e60d11e4c53521a4021b0e68a8f1f97d5fe216300f44741866c0793051",
    "held_out": "file:9edcee25a602c0dc8aa73e042306abf1edec2edad6b3b3f23c117deffe3acdc6",
}
TRAINED = dict.fromkeys(("prepare", "train_logistic", "train_forest", "choose", "serve"), "succeeded")


def test_train_and_serve_switches_to_the_new_model_without_a_lost_request(
    place: Place, example: Example
) -> None:
    project = example("train-and-serve", date=TODAY)
    first = deploy(place, project)
    url = url_of(first, "serve")
    assert (states(first), replicas(first)) == (TRAINED, {"serve": (2, 2)})
    (answer,) = place.ask([(f"{url}/predict", WINE)])
    assert (answer["cultivar"], answer["run"]) == (0, first["run"])
    with place.loaded(url, "/health") as load:
        second = deploy(place, project)
        switched = time.monotonic()
        answers = place.ask([(f"{url}/predict", WINE)] * 20)
        wait_for(lambda: load.after(switched + place.settles), seconds=30, every=0.5)
        late = load.after(switched + place.settles)
    assert load.failures == []
    assert second["run"] != first["run"]
    assert {answer["run"] for answer in answers} == {second["run"]}
    assert not any(first["run"] in body for body in late)
    assert outputs(first, "prepare") == outputs(second, "prepare") == SPLIT


def test_version_1_1_deploys_unchanged(place: Place, example: Example) -> None:
    done = deploy(place, example("version-1.1", date=IN_2022))
    names = ("check_model", "scoring_service", "web_service")
    assert states(done) == dict.fromkeys(names, "succeeded")
    assert replicas(done) == dict.fromkeys(names[1:], (2, 2))
    assert "29 of 30 flowers are right" in place.tool.good("logs", "iris-classifier", "check_model").out
    url = url_of(done, "web_service")
    answers = place.ask([(f"{url}/?petal_length=1.4&petal_width=0.2", None)] * 40)
    assert {answer["species"] for answer in answers} == {"setosa"}
    assert len({answer["answered_by"] for answer in answers}) == 2
    assert len({answer["scored_by"] for answer in answers}) == 2


def test_the_packages_of_2022_are_those_of_2022(tool: Tool, example: Example) -> None:
    project = example("version-1.1", date=IN_2022)
    digests = [
        {stage["name"]: stage["environment"] for stage in plan["stages"]}
        for plan in (tool.good("plan", str(project.path), "-o", "json").json for _ in range(2))
    ]
    assert digests[0] == digests[1]
    locks = "".join(
        path.read_text() for path in (tool.home / "state" / "environments").rglob("*") if path.is_file()
    )
    assert "werkzeug==2.1.2" in locks
