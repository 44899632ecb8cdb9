"""Projects as they were written in 2021 and 2022 run as they are."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tool import Repository, Tool

pytestmark = [pytest.mark.slow, pytest.mark.network]
Project = Callable[..., Repository]


def ask(url: str, document: Any = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def urls(tool: Tool, pipeline: str) -> dict[str, str]:
    """Where the services of a pipeline answer; all of their replicas have to be ready."""
    services = tool.good("status", pipeline, "-o", "json").json["services"]
    assert all(service["ready"] == service["replicas"] for service in services)
    return {service["name"]: service["url"] for service in services}


def deploy(tool: Tool, repository: Repository, *options: str) -> str:
    """What the stages printed."""
    return tool.good("deploy", str(repository.path), *options, timeout=300).out


def test_pandas_and_scikit_learn_of_2021_and_a_service_on_flask_1(tool: Tool, project: Project) -> None:
    """Python 3.8, CRLF, `np.float`, joblib, a pool of processes, modules beside and above, ../data."""
    said = deploy(tool, project("demand-forecast", date="2021-09-01T12:00:00+00:00"))
    assert "INFO 10 weeks, 2 features, mean of sold is 158.4" in said
    assert "INFO pandas 1.2.4 numpy 1.20.3" in said
    assert "scikit-learn 0.24.2: best depth 3 of 3" in said
    assert "baseline error: 30.2" in said
    assert "notebook_experiments" not in said
    url = urls(tool, "demand-forecast")["forecast_api"]
    answers = [ask(f"{url}/forecast/v1", {"price": 9, "promoted": 1}) for _ in range(20)]
    assert {answer["sold"] for answer in answers} == {193}
    assert len({answer["worker"] for answer in answers}) == 2


def test_services_with_names_of_all_kinds_call_each_other(tool: Tool, project: Project) -> None:
    """uvicorn by `os.system` on 127.0.0.1 and by `run` with workers and uvloop; the same port twice."""
    said = deploy(tool, project("taxi-times", date="2022-06-20T12:00:00+00:00"))
    assert "Python 3.9, commit " in said
    assert "harbour: 14.0 two kilometres: 9.0" in said
    services = urls(tool, "Taxi_Times")
    assert set(services) == {"Score.Trips", "2_geo", "Trip_Gateway"}
    assert ask(f"{services['Trip_Gateway']}/trip/station")["minutes"] == 7.0
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(f"{services['Trip_Gateway']}/trip/nowhere/else")


def test_gunicorn_in_a_process_of_its_own_and_a_batch_stage_that_asks_yesterdays_server(
    tool: Tool, project: Project, secret: Callable[[str, str], None]
) -> None:
    repository = project("churn", date="2022-03-20T12:00:00+00:00")
    refused = tool("deploy", str(repository.path))
    assert refused.code == 2
    assert "crm-credentials/CRM_PASSWORD" in refused.err and "team-chat/CHAT_TOKEN" in refused.err
    secret("testing/crm-credentials/CRM_PASSWORD", "sesame\n")
    secret("testing/team-chat/CHAT_TOKEN", "t")
    first = tool.good("deploy", str(repository.path), timeout=300)
    assert 'memory_request_md: unknown key, ignored (did you mean "memory_request_mb"?)' in first.err
    assert "password has 6 letters" in first.out
    assert "no server yet" in first.out
    answers = [ask(f"{urls(tool, 'churn')['model_server']}/score?months=3") for _ in range(40)]
    assert {(one["risk"], one["secret"]) for one in answers} == {("high", 6)}
    assert {(one["flask"], one["werkzeug"]) for one in answers} == {("2.0.3", "2.0.3")}
    assert len({one["worker"] for one in answers}) > 2
    assert "yesterday's server: high" in deploy(tool, repository)

    repository.commit({"batch/score_yesterday.py": "raise SystemExit('the CRM is away')\n"})
    failed = tool("deploy", str(repository.path))
    assert failed.code == 1
    assert "the CRM is away" in failed.out
    assert "TOLD with t: stage score_yesterday failed: exited with 1" in failed.out
    assert ask(f"{urls(tool, 'churn')['model_server']}/score?months=12")["risk"] == "low"


def test_two_pipelines_with_services_of_the_same_names_and_ports(tool: Tool, project: Project) -> None:
    """Tornado and aiohttp; each project's stages reach their own services."""
    date = "2022-03-20T12:00:00+00:00"
    north, south = project("sensors-north", date=date), project("sensors-south", date=date)
    assert "north/collect north/alarms" in deploy(tool, north)
    assert "south/collect south/alarms" in deploy(tool, south)
    assert "north/collect north/alarms" in deploy(tool, north)
    for plant in ("north", "south"):
        for sensor, url in urls(tool, f"sensors-{plant}").items():
            assert ask(url) == {"plant": plant, "sensor": sensor}


def test_a_build_of_seconds_does_not_count_and_a_service_that_exits_fails_at_once(
    tool: Tool, project: Project
) -> None:
    """A package from Git that has only a setup.py and imports pkg_resources; an image of one's own."""
    package = project("survey-package", date="2022-01-01T00:00:00+00:00")
    package.git("tag", "v1")
    survey = project("survey", date="2022-02-01T00:00:00+00:00", PACKAGE=str(package.path))
    answer = tool("deploy", str(survey.path), "-o", "json", timeout=300)
    assert answer.code == 1
    assert "python-with-r:4.2 is for clusters: on this machine its stages run with Python 3.9" in answer.err
    batch, service = answer.json["stages"]
    assert (batch["state"], service["state"]) == ("succeeded", "failed")
    assert "answers 1.4.0 of 1 option" in tool.good("logs", "survey", "read_answers").out
    assert "exited with 4 before it was ready" in service["reason"]
    assert "no answers to publish" in tool.good("logs", "survey", "publish").out


def test_a_dashboard(tool: Tool, project: Project) -> None:
    deploy(tool, project("dashboards", date="2022-05-15T00:00:00+00:00"))
    url = urls(tool, "dashboards")["charts"]
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"<title>Dash</title>" in answer.read()
    assert ask(f"{url}/_dash-layout")["props"]["children"]
