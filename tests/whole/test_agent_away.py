"""Pipelines whose agent does not run: stopped on purpose, or killed together with its watchdog."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tool import Repository, Tool, wait_for

pytestmark = pytest.mark.slow

SERVER = """
import http.server
http.server.ThreadingHTTPServer(("", 5000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
FILES = {
    "bodywork.yaml": 'version: "2"\nname: web\npython: "3.11"\nstages:\n'
    "  serve: {run: serve.py, service: {port: 5000, startup_timeout: 20s}}\n",
    "serve.py": SERVER,
}


def send_away(tool: Tool, how: str) -> None:
    if how == "stopped":
        tool.good("agent", "stop")
        return
    agent = tool.good("agent", "status", "-o", "json").json
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", agent["started"])  # as all times are
    os.kill(agent["watchdog"], signal.SIGKILL)
    os.kill(agent["pid"], signal.SIGKILL)
    wait_for(lambda: not tool.good("agent", "status", "-o", "json").json["running"])


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_pipeline_is_deleted_for_good(tool: Tool, repository: Repository, how: str) -> None:
    repository.commit(FILES)
    tool.good("deploy", str(repository.path))
    send_away(tool, how)
    assert "stopped serve" in tool.good("delete", "web", "--yes").out
    tool.good("agent", "start")
    assert tool.good("agent", "status", "-o", "json").json["services"] == []


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_deploy_brings_the_service_back(tool: Tool, repository: Repository, how: str) -> None:
    repository.commit(FILES)
    tool.good("deploy", str(repository.path))
    send_away(tool, how)
    service = tool.good("status", "web", "-o", "json").json["services"][0]
    assert service["ready"] == 0 and "bodywork agent start" in service["reason"]
    assert "replace" in tool.good("plan", str(repository.path)).out
    tool.good("deploy", str(repository.path))
    assert tool.good("status", "web", "-o", "json").json["services"][0]["ready"] == 1


def test_a_service_that_is_no_longer_named_is_removed(tool: Tool, repository: Repository) -> None:
    repository.commit(FILES)
    tool.good("deploy", str(repository.path))
    tool.good("agent", "stop")
    text = FILES["bodywork.yaml"].replace("serve:", "other:")
    repository.commit({"bodywork.yaml": text})
    assert "serve removed" in tool.good("deploy", str(repository.path)).out
    assert [s["name"] for s in tool.good("status", "web", "-o", "json").json["services"]] == ["other"]
