"""Back-fills: a range of days, a few at a time, each once, and gone on with after whatever went wrong."""

from __future__ import annotations

import json
import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from places import Place, deploy
from tool import Repository, Tool, wait_for

HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'
SERVICE = (
    "import http.server, os\n"
    "class Answer(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        body = b'1'; self.send_response(200)\n"
    "        self.send_header('Content-Length', '1'); self.end_headers(); self.wfile.write(body)\n"
    "    def log_message(self, *args): pass\n"
    "http.server.ThreadingHTTPServer(('0.0.0.0', 5000), Answer).serve_forever()\n"
)
MARCH = "2026-03-01..2026-03-05"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder in which stages leave a file for each time that they ran."""
    path = tmp_path / "notes"
    path.mkdir()
    return path


def marking(notes: Path, more: str = "") -> str:
    """A stage that notes its day, when it began and ended; `more` comes between."""
    return (
        "import os, pathlib, sys, time\n"
        f"notes, day = pathlib.Path({str(notes)!r}), os.environ['BODYWORK_DATE']\n"
        "begin = time.time()\n"
        f"{more}\n"
        "(notes / f'{day}-{time.time_ns()}').write_text(f'{begin} {time.time()}')\n"
    )


def days_of(notes: Path) -> list[str]:
    return sorted(path.name[:10] for path in notes.iterdir() if path.name.startswith("2026"))


def one_stage(module: str) -> dict[str, str]:
    return {"bodywork.yaml": f"{HEAD}stages:\n  one: {{run: one.py}}\n", "one.py": module}


def states(tool: Tool, repository: Repository, *options: str) -> tuple[int, dict[str, str]]:
    answer = tool("deploy", str(repository.path), "--date", MARCH, "--output", "json", *options)
    return answer.code, {one["date"]: one["state"] for one in answer.json["days"]}


def test_each_day_is_run_once_and_services_stay_as_they_are(place: Place, repository: Repository) -> None:
    says = "import os, pathlib\nday = os.environ.get('BODYWORK_DATE', 'none')\n"
    writes = "pathlib.Path(os.environ['BODYWORK_OUTPUT_DAY']).write_text(day)\n"
    reads = "print('read', pathlib.Path(os.environ['BODYWORK_INPUT_DAY']).read_text(), 'on', day)\n"
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: one >> two >> serve\nstages:\n"
            "  one: {run: one.py, outputs: {day: day.txt}}\n"
            "  two: {run: two.py, inputs: {day: one.day}}\n"
            "  serve: {run: serve.py, service: {port: 5000}}\n",
            "one.py": says + writes,
            "two.py": says + reads,
            "serve.py": SERVICE,
        }
    )
    before = deploy(place, repository)
    answer = place.tool("deploy", str(repository.path), "--date", MARCH, timeout=600)
    assert answer.code == 0, answer.err
    assert "services are left as they are: serve" in answer.err
    assert f"back-fill {MARCH}: 5 of 5 days to run, 3 at a time" in answer.err
    for day in range(1, 6):
        assert f"2026-03-0{day} two | read 2026-03-0{day} on 2026-03-0{day}\n" in answer.out
        assert f"  2026-03-0{day}  20" in answer.out
    after = place.tool.good("status", "demo", "--output", "json").json
    assert [one["release"] for one in after["services"]] == [before["run"]]
    again = place.tool.good("deploy", str(repository.path), "--date", MARCH, "--output", "json")
    assert {(one["state"], one["earlier"]) for one in again.json["days"]} == {("succeeded", True)}
    runs = place.tool.good("runs", "demo", "--output", "json").json
    assert sorted(one["date"] for one in runs if one["backfill"] == MARCH) == [
        f"2026-03-0{day}" for day in range(1, 6)
    ]
    # What a back-fill has made is not what a later run reads: that is the newest of the others.
    alone = place.tool.good("deploy", str(repository.path), "--only", "two")
    assert "two | read none on none" in alone.out
    dated = place.tool.good("deploy", str(repository.path), "--only", "two", "--date", "2026-03-02")
    assert "two | read 2026-03-02 on 2026-03-02" in dated.out


def test_a_day_that_fails_is_run_again_and_the_others_are_not(
    tool: Tool, repository: Repository, notes: Path
) -> None:
    fails = "if day.endswith('03') and not (notes / 'repaired').exists(): sys.exit(4)"
    repository.commit(one_stage(marking(notes, fails)))
    answer = tool("deploy", str(repository.path), "--date", MARCH)
    assert answer.code == 1
    assert f"error: back-fill {MARCH} of demo: 1 of 5 days failed\n" in answer.err
    assert "run the same command again: only days that have not succeeded are run" in answer.err
    assert "one failed: exited with 4" in next(
        line for line in answer.out.splitlines() if "  2026-03-03" in line
    )
    assert days_of(notes) == ["2026-03-01", "2026-03-02", "2026-03-04", "2026-03-05"]
    (notes / "repaired").touch()
    answer = tool.good("deploy", str(repository.path), "--date", MARCH)
    assert "1 of 5 days to run, 3 at a time; 4 succeeded before and are not run again" in answer.err
    assert days_of(notes) == [f"2026-03-0{day}" for day in range(1, 6)]
    tool.good("deploy", str(repository.path), "--date", MARCH, "--again")
    assert len(days_of(notes)) == 10
    repository.commit({"other.txt": "another commit\n"})
    tool.good("deploy", str(repository.path), "--date", MARCH)
    assert len(days_of(notes)) == 15


def test_days_begin_in_order_and_as_many_as_asked_for(
    tool: Tool, repository: Repository, notes: Path
) -> None:
    repository.commit(one_stage(marking(notes, "time.sleep(0.3)")))
    tool.good("deploy", str(repository.path), "--date", MARCH, "--parallel", "1")
    spans = [tuple(map(float, path.read_text().split())) for path in sorted(notes.iterdir())]
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    for path in notes.iterdir():
        path.unlink()
    meet = (
        "(notes / f'here-{day}').touch()\n"
        "end = time.time() + 30\n"
        "while len(list(notes.glob('here-*'))) < 5 and time.time() < end: time.sleep(0.01)\n"
        "if time.time() >= end: sys.exit(7)\n"
    )
    repository.commit(one_stage(marking(notes, meet)))
    tool.good("deploy", str(repository.path), "--date", MARCH, "--parallel", "5")
    assert days_of(notes) == [f"2026-03-0{day}" for day in range(1, 6)]


def test_fail_fast_begins_no_further_day(tool: Tool, repository: Repository, notes: Path) -> None:
    repository.commit(one_stage(marking(notes, "if day.endswith('02'): sys.exit(4)")))
    code, became = states(tool, repository, "--fail-fast", "--parallel", "1")
    assert code == 1
    assert list(became.values()) == ["succeeded", "failed", "not run", "not run", "not run"]


def test_a_back_fill_that_was_killed_goes_on(tool: Tool, repository: Repository, notes: Path) -> None:
    waits = "(notes / 'waits').touch() if day.endswith('03') else None\n" + (
        "while day.endswith('03') and not (notes / 'go').exists(): time.sleep(0.02)"
    )
    repository.commit(one_stage(marking(notes, waits)))

    def running() -> list[str]:
        found = tool.good("runs", "demo", "--output", "json").json
        return [one["date"] for one in found if one["state"] == "running"]

    with tool.start("deploy", str(repository.path), "--date", MARCH, "--parallel", "2") as child:
        try:
            wait_for((notes / "waits").exists, 30)
            wait_for(lambda: len(days_of(notes)) == 4 and running() == ["2026-03-03"], 30)
            busy = tool("deploy", str(repository.path))
            assert busy.code == 2
            assert "pipeline demo is busy" in busy.err
        finally:
            os.kill(child.pid, signal.SIGKILL)
    wait_for(lambda: not tool.processes())
    assert {one["state"] for one in tool.good("runs", "demo", "--output", "json").json} == {
        "succeeded",
        "interrupted",
    }
    (notes / "go").touch()
    code, became = states(tool, repository)
    assert (code, set(became.values())) == (0, {"succeeded"})
    assert days_of(notes) == [f"2026-03-0{day}" for day in range(1, 6)]


@pytest.mark.parametrize("by", ["signal", "stop"])
def test_a_back_fill_that_is_stopped_cancels_its_days(
    tool: Tool, repository: Repository, notes: Path, by: str
) -> None:
    repository.commit(one_stage(marking(notes, "(notes / f'waits-{day}').touch(); time.sleep(60)")))
    child = tool.start("deploy", str(repository.path), "--date", MARCH, "--output", "json")
    wait_for(lambda: len(list(notes.glob("waits-*"))) == 3, 30)
    if by == "signal":
        child.send_signal(signal.SIGINT)
    else:
        assert "cancelled" in tool.good("stop", "demo").out
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert [one["state"] for one in json.loads(out)["days"]] == ["cancelled"] * 3 + ["not run"] * 2
    assert f"the back-fill {MARCH} was cancelled" in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--date", "2026-03-05..2026-03-01"), "the range 2026-03-05..2026-03-01 ends before it begins"),
        (("--date", MARCH, "--only", "serve"), "a back-fill runs batch stages, and serve is a service"),
        (("--date", MARCH), "--date: the workflow of demo has no batch stages to run for a range of days"),
        (("--date", MARCH, "--detach"), f"the back-fill {MARCH} is carried out by the command that"),
        (("--again",), "--again needs --date with a range of days"),
        (("--date", "2026-03-01", "--parallel", "2"), "--parallel needs --date with a range of days"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(
    tool: Tool, repository: Repository, options: tuple[str, ...], sentence: str
) -> None:
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}stages:\n  serve: {{run: serve.py, service: {{port: 5000}}}}\n",
            "serve.py": SERVICE,
        }
    )
    answer = tool("deploy", str(repository.path), *options)
    assert answer.code == 2
    assert sentence in answer.err
