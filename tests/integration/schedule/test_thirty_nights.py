"""Thirty nights of a schedule, and all that goes wrong in them: each is accounted for, none runs twice.

Real are the repository, the agent, its processes and the service; only the clock is the test's own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bodywork.process import start_detached
from bodywork.spec.cron import Cron
from load import Load, loaded
from tool import Repository, Tool, wait_for

PROGRAM = Path(__file__).with_name("agent_by_file.py")
LONDON = ZoneInfo("Europe/London")
CRON = "30 1 21-31 3,10 *"
"""Nights around both changes of the clocks: one day has no 01:30, and another has it twice."""

NIGHTS = 30
FETCH_FAILS, TRAIN_FAILS, POWER_CUT, POWER_BACK = 4, 9, 14, 17

FILES = {
    "bodywork.yaml": f"""
version: "2"
name: iris
python: "{sys.version_info.major}.{sys.version_info.minor}"
workflow: train >> serve
schedule: {{cron: "{CRON}", timezone: Europe/London}}
stages:
  train: {{run: train.py, outputs: {{model: model.txt}}, env: {{TELL: "TELL_FILE"}}}}
  serve: {{run: serve.py, inputs: {{model: train.model}}, service: {{port: 5000}}}}
""",
    "train.py": """
import os, pathlib, sys, time
day, tell = os.environ["BODYWORK_DATE"], pathlib.Path(os.environ["TELL"])
with tell.open("a") as file:
    file.write(day + "\\n")
if tell.with_name("fail").exists():
    sys.exit("no data tonight")
while tell.with_name("hang").exists():
    time.sleep(0.05)
pathlib.Path(os.environ["BODYWORK_OUTPUT_MODEL"]).write_text(day + " " + str(time.time()))
""",
    "serve.py": """
import http.server, os
model = open(os.environ["BODYWORK_INPUT_MODEL"], "rb").read()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(model)))
        self.end_headers()
        self.wfile.write(model)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
""",
}


@dataclass
class Machine:
    """A machine whose time we tell, and whose power we cut."""

    tool: Tool
    clock: Path

    def start(self) -> None:
        self.clock.parent.mkdir(parents=True, exist_ok=True)
        with (self.clock.parent / "agent.log").open("ab") as log:
            start_detached(
                [sys.executable, str(PROGRAM), str(self.clock)], cwd=Path("/"), env=self.tool.env, output=log
            )
        wait_for(lambda: self.tool.good("agent", "status", "-o", "json").json["running"])

    def at(self, moment: float) -> None:
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(str(moment))
        fresh.replace(self.clock)

    def cut_power(self) -> None:
        """Everything dies at once: agent, watchdog, deploy, stages and services."""
        pids = self.tool.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        wait_for(lambda: not self.tool.processes())

    def history(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.tool.good(
            "schedule", "history", "iris", "--limit", "100", "-o", "json"
        ).json
        return found[::-1]

    def night(self, number: int, due: datetime, *, state: str = "") -> dict[str, Any]:
        """Let it become that time, and wait until it is known what became of it."""
        self.at(due.timestamp() + 1)

        def told() -> dict[str, Any] | None:
            rows = self.history()
            wanted = [row for row in rows if row["due"] == stamp(due)]
            ended = wanted and wanted[0]["state"] not in ("waiting", "running")
            return wanted[0] if ended or (wanted and wanted[0]["state"] == state) else None

        found: dict[str, Any] = wait_for(told, seconds=60, every=0.2)
        return found


def stamp(due: datetime) -> str:
    return due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@contextmanager
def marked(file: Path) -> Iterator[None]:
    file.touch()
    yield
    file.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.network
def test_thirty_nights(tool: Tool, repository: Repository, tmp_path: Path) -> None:
    told = tmp_path / "outside" / "told"
    told.parent.mkdir()
    files = {name: text.replace("TELL_FILE", str(told)) for name, text in FILES.items()}
    repository.commit(files)
    machine = Machine(tool=tool, clock=tmp_path / "clock" / "now")
    machine.clock.parent.mkdir()
    began = datetime.now(UTC)
    machine.at(began.timestamp())
    machine.start()
    made = tool.good("schedule", str(repository.path))
    assert "next times" in made.out
    nights = list(islice(Cron.parse(CRON).after(began, LONDON), NIGHTS))
    assert both_changes(nights)

    seen = run_nights(machine, repository, nights, told)

    rows = machine.history()
    assert [row["due"] for row in rows] == [stamp(due) for due in nights], (
        "a line for each night, and no other"
    )
    states = [row["state"] for row in rows]
    expected = {FETCH_FAILS: "failed", TRAIN_FAILS: "failed", POWER_CUT: "interrupted"}
    expected |= dict.fromkeys(range(POWER_CUT + 1, POWER_BACK), "missed")
    assert states == [expected.get(number, "succeeded") for number in range(NIGHTS)]
    assert all(row["reason"] for row in rows if row["state"] != "succeeded"), json.dumps(rows, indent=1)
    assert rows[FETCH_FAILS]["run"] is None
    assert "there is no folder" in rows[FETCH_FAILS]["reason"]
    days = told.read_text().split()
    trained = [n for n in range(NIGHTS) if n != FETCH_FAILS and n not in range(POWER_CUT + 1, POWER_BACK)]
    assert days == [f"{nights[n].astimezone(LONDON):%Y-%m-%d}" for n in trained], "each once, in order"
    runs = tool.good("runs", "iris", "--limit", "100", "-o", "json").json
    assert sorted(run["run"] for run in runs) == sorted(row["run"] for row in rows if row["run"])
    assert {run["kind"] for run in runs} == {"schedule"}
    assert not [failure for load in seen for failure in load.failures], "the service always answers"


def run_nights(machine: Machine, repository: Repository, nights: list[datetime], told: Path) -> list[Load]:
    """All nights, one after the other; returns what clients of the service have seen."""
    machine.night(0, nights[0])
    loads = []
    with loaded(address(machine.tool)) as load:
        loads.append(load)
        for number in range(1, POWER_CUT):
            one_night(machine, repository, nights, number, told)
    with marked(told.with_name("hang")):
        machine.night(POWER_CUT, nights[POWER_CUT], state="running")
        wait_for(lambda: len(told.read_text().split()) == POWER_CUT)
        machine.cut_power()
    machine.at(nights[POWER_BACK].timestamp() + 3600)
    machine.start()
    late = machine.night(POWER_BACK, nights[POWER_BACK])
    assert late["state"] == "succeeded" and late["reason"] == "3600 s late"
    wait_for(lambda: machine.tool.good("status", "iris", "-o", "json").json["services"][0]["ready"])
    with loaded(address(machine.tool)) as load:
        loads.append(load)
        for number in range(POWER_BACK + 1, NIGHTS):
            one_night(machine, repository, nights, number, told)
    return loads


def one_night(
    machine: Machine, repository: Repository, nights: list[datetime], number: int, told: Path
) -> None:
    away = repository.path.with_name("away")
    if number == FETCH_FAILS:
        repository.path.rename(away)
        assert machine.night(number, nights[number])["state"] == "failed"
        away.rename(repository.path)
    elif number == TRAIN_FAILS:
        with marked(told.with_name("fail")):
            row = machine.night(number, nights[number])
            assert row["state"] == "failed" and "train" in row["reason"]
    else:
        machine.night(number, nights[number])


def address(tool: Tool) -> str:
    url: str = tool.good("status", "iris", "-o", "json").json["services"][0]["url"]
    return url


def both_changes(nights: list[datetime]) -> bool:
    """Whether they hold a day with the time twice, and leave out one without it."""
    days = [due.astimezone(LONDON).date() for due in nights]
    twice = any(one == other for one, other in pairwise(days))
    gaps = [(b - a).days for a, b in pairwise(days)]
    return twice and 2 in gaps
