"""Crashes of the command, crowds, and a machine without network."""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tool import Repository, Tool, wait_for

pytestmark = pytest.mark.slow
HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'

NOTED = """
import pathlib, sys, time
time.sleep({seconds})
with open({ran!r}, "a") as file:
    file.write("{name}\\n")
"""

SERVER = """
import http.server
http.server.ThreadingHTTPServer(("", 5000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def workflow(ran: Path) -> dict[str, str]:
    """Three batch stages that note when they have run, then a service."""
    stages = "".join(f"  {name}: {{run: {name}.py}}\n" for name in "abc")
    text = f"{HEAD}workflow: a >> b, c >> serve\nstages:\n{stages}"
    text += "  serve: {run: serve.py, service: {port: 5000, startup_timeout: 30s}}\n"
    seconds = {"a": 1.5, "b": 1.5, "c": 2.5}
    modules = {
        f"{name}.py": NOTED.format(name=name, ran=str(ran), seconds=pause) for name, pause in seconds.items()
    }
    return {"bodywork.yaml": text, "serve.py": SERVER, **modules}


def recorded(tool: Tool) -> int:
    """How many events the run has recorded so far."""
    path = tool.home / "state" / "history.db"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, timeout=1)) as db:
        count: int = db.execute("select count(*) from events").fetchone()[0]
        return count
    return 0


@pytest.mark.parametrize("events", [1, 3, 6, 9, 10, 11, 12, 13, 14, 16])
def test_a_run_killed_at_any_event_ends_as_if_nothing_had_happened(
    tool: Tool, repository: Repository, events: int
) -> None:
    ran = tool.home / "ran"
    repository.commit(workflow(ran))
    child = tool.start("deploy", str(repository.path))
    wait_for(lambda: recorded(tool) >= events or child.poll() is not None, seconds=60, every=0.002)
    child.kill()
    child.communicate()
    state = tool.good("status", "demo", "-o", "json").json["state"]
    if state != "succeeded":
        assert state == "interrupted"
        tool.good("resume", "demo")
    status = tool.good("status", "demo", "-o", "json").json
    assert status["state"] == "succeeded"
    assert {stage["state"] for stage in status["stages"]} == {"succeeded"}
    assert Counter(ran.read_text().split()) == {"a": 1, "b": 1, "c": 1}
    with urllib.request.urlopen(status["services"][0]["url"], timeout=10) as answer:
        assert answer.status == 200


def test_twenty_pipelines_deployed_at_once(tool: Tool, repository: Repository) -> None:
    for number in range(20):
        folder = f"p{number}"
        repository.write(
            {
                f"{folder}/bodywork.yaml": f'version: "2"\nname: {folder}\npython: "3.11"\n'
                "workflow: one >> two\nstages:\n  one: {run: one.py}\n  two: {run: one.py}\n",
                f"{folder}/one.py": "print('hello')\n",
            }
        )
    repository.commit()
    children = [
        tool.start("deploy", str(repository.path), "--file", f"p{number}/bodywork.yaml")
        for number in range(20)
    ]
    said = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * 20, said
    runs = tool.good("runs", "-o", "json").json
    assert Counter(run["state"] for run in runs) == {"succeeded": 20}


@pytest.mark.network
def test_a_run_without_network_when_everything_was_there_before(tool: Tool, repository: Repository) -> None:
    files = {
        "bodywork.yaml": f"{HEAD}stages:\n  one: {{run: one.py, requirements: [six]}}\n",
        "one.py": "import six; print(six.__version__)\n",
    }
    repository.commit(files)
    tool.good("deploy", str(repository.path))
    tool.extra = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
    )
    assert "one | 1." in tool.good("deploy", str(repository.path)).out


def test_a_run_killed_while_it_tells_of_its_second_failure_can_be_left_behind(
    tool: Tool, repository: Repository
) -> None:
    flag, told = tool.home / "flag", tool.home / "told"
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}on_failure: tell\nworkflow: bad\nstages:\n"
            "  bad: {run: bad.py}\n  tell: {run: tell.py}\n",
            "bad.py": "raise SystemExit(1)\n",
            "tell.py": f"import os, time\nopen({str(told)!r}, 'a').write('x')\n"
            f"time.sleep(300 if os.path.exists({str(flag)!r}) else 0)\n",
        }
    )
    assert tool("deploy", str(repository.path)).code == 1
    flag.touch()
    child = tool.start("resume", "demo")
    wait_for(lambda: told.read_text() == "xx")
    child.kill()
    child.communicate()
    flag.unlink()
    assert tool("deploy", str(repository.path)).code == 1
    assert told.read_text() == "xxx"


def test_a_command_killed_after_the_end_of_its_run_leaves_nothing_for_good(
    tool: Tool, repository: Repository
) -> None:
    repository.commit({"bodywork.yaml": f"{HEAD}stages:\n  a: {{run: a.py}}\n", "a.py": "pass\n"})
    tool.good("deploy", str(repository.path))
    run = tool.good("runs", "-o", "json").json[0]["run"]
    left = tool.home / "state" / "runs" / run / "work"
    (left / "a" / "project").mkdir(parents=True)  # as between the last event and the end
    tool.good("deploy", str(repository.path))
    assert not left.exists()
