"""Runs for a day: on both targets, in each stage, and again when they are resumed or rolled back."""

from __future__ import annotations

from places import Place, deploy
from tool import Repository, Tool

HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'
SAYS = "import os\nprint('day:', os.environ.get('BODYWORK_DATE'))\n"
FAILS = "import os, sys\nprint('day:', os.environ['BODYWORK_DATE'])\nsys.exit(5)\n"
SERVER = """
import http.server, json, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(os.environ.get("BODYWORK_DATE")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""


def day_in(log: str) -> str:
    return next(line.partition("day: ")[2] for line in log.splitlines() if "day: " in line)


def test_a_run_for_a_day_tells_it_to_all_stages(place: Place, repository: Repository) -> None:
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: one >> serve\nstages:\n  one: {{run: one.py}}\n"
            "  serve: {run: serve.py, service: {port: 5000}}\n",
            "one.py": SAYS,
            "serve.py": SERVER,
        }
    )
    undated = deploy(place, repository)
    assert undated["date"] is None
    assert day_in(place.tool.good("logs", "demo", "one").out) == "None"
    dated = deploy(place, repository, "--date", "2026-03-01")
    assert dated["date"] == "2026-03-01"
    assert day_in(place.tool.good("logs", "demo", "one").out) == "2026-03-01"
    url = dated["services"][0]["url"]
    assert place.ask([(url, None)]) == ["2026-03-01"]
    shown = place.tool.good("runs", "demo", "--output", "json").json
    assert [(one["date"], one["backfill"]) for one in shown] == [("2026-03-01", None), (None, None)]
    assert "date 2026-03-01" in place.tool.good("status", "demo").out
    assert "  2026-03-01  " in place.tool.good("runs").out.splitlines()[0]


def test_a_run_that_goes_on_is_for_the_same_day(place: Place, repository: Repository) -> None:
    stages = "stages:\n  one: {run: one.py}\n  tell: {run: tell.py}\n"
    repository.commit(
        {"bodywork.yaml": f"{HEAD}on_failure: tell\n{stages}", "one.py": FAILS, "tell.py": SAYS}
    )
    assert place.tool("deploy", str(repository.path), "--date", "2026-03-02").code == 1
    answer = place.tool("resume", "demo")
    assert answer.code == 1
    assert "one | day: 2026-03-02" in answer.out
    assert "tell | day: 2026-03-02" in answer.out
    assert f"{'':4} * run " in answer.out and "of demo for 2026-03-02 goes on" in answer.out


def test_a_day_that_is_none_is_refused_before_anything(tool: Tool, repository: Repository) -> None:
    answer = tool("deploy", str(repository.path), "--date", "2026-02-30")
    assert answer.code == 2
    assert answer.err == ("error: --date: there is no day 2026-02-30\nhint: February 2026 has 28 days\n")
