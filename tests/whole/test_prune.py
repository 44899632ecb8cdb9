"""`bodywork prune` as a user has it: with services that go on, releases to go back to, and caches."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from pathlib import Path

from tool import Repository, Tool

SERVE = """
import http.server, os
text = open(os.environ["BODYWORK_INPUT_MODEL"], "rb").read()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_): pass
http.server.HTTPServer(("", 5000), Answer).serve_forever()
"""
FILE = """
version: "2"
name: demo
python: "3.11"
workflow: make >> serve
stages:
  make: {run: make.py, outputs: {model: model.txt}}
  serve: {run: serve.py, inputs: {model: make.model}, service: {port: 5000}}
"""
MAKE = "import os\nopen(os.environ['BODYWORK_OUTPUT_MODEL'], 'w').write(os.environ['BODYWORK_RUN'])\n"


def answer(tool: Tool) -> str:
    url = tool.good("status", "demo", "--output", "json").json["services"][0]["url"]
    with urllib.request.urlopen(url, timeout=10) as said:
        return str(said.read().decode())


def test_services_go_on_and_releases_can_be_gone_back_to(tool: Tool, repository: Repository) -> None:
    repository.commit({"bodywork.yaml": FILE, "make.py": MAKE, "serve.py": SERVE})
    runs = [tool.good("deploy", str(repository.path), "--output", "json").json["run"] for _ in range(3)]
    only = [
        tool.good("deploy", str(repository.path), "--only", "make", "--output", "json").json["run"]
        for _ in range(3)
    ]
    told = tool.good("prune", "demo", "--keep", "1", "--dry-run", "--output", "json").json
    assert [one["run"] for one in told["runs"]] == [only[1], only[0]]
    asked = tool("prune", "demo", "--keep", "1")
    assert asked.code == 2 and "--yes" in asked.err and "demo: 2 runs" in asked.err
    assert len(tool.good("runs", "demo", "--output", "json").json) == 6
    freed = tool.good("prune", "--keep", "1", "--yes").out
    assert "demo: 2 runs" in freed and "artifacts: 2" in freed and "freed" in freed
    assert answer(tool) == runs[2]
    left = {document["run"] for document in tool.good("runs", "demo", "--output", "json").json}
    assert left == {*runs, only[2]}
    tool.good("rollback", "demo")
    assert answer(tool) == runs[1]
    tool.good("rollback", "demo", "--to", runs[0])
    assert answer(tool) == runs[0]
    assert tool.good("prune", "--yes").out.splitlines()[-1] == "freed 0 B"
    serves = [d["run"] for d in tool.good("artifacts", "demo", "--output", "json").json if d["serves"]]
    assert serves == [runs[0]]
    tool.good("delete", "demo", "--yes")
    tool.good("prune", "--yes")
    assert not [path for path in (tool.home / "state" / "artifacts").rglob("*") if path.is_file()]


def test_environments_that_nobody_uses_go_with_cache_and_come_back(
    tool: Tool, repository: Repository, tmp_path: Path
) -> None:
    tool.cache = tmp_path / "cache"
    stage = 'version: "2"\nname: {}\npython: "3.11"\nstages:\n  one: {{run: one.py, requirements: [{}]}}\n'
    repository.commit({"bodywork.yaml": stage.format("old", "iniconfig==2.0.0"), "one.py": "pass\n"})
    tool.good("deploy", str(repository.path))
    tool.good("delete", "old", "--yes")
    repository.commit({"bodywork.yaml": stage.format("new", "iniconfig==2.1.0"), "one.py": "pass\n"})
    tool.good("deploy", str(repository.path))
    built = [path for path in (tool.cache / "environments").glob("*") if len(path.name) == 32]
    assert len(built) == 2
    long_ago = time.time() - 8 * 86400
    for path in built:
        os.utime(path, (long_ago, long_ago))
    assert "environments" not in tool.good("prune", "--yes").out
    assert "environments: 1" in tool.good("prune", "--yes", "--cache").out
    assert len([path for path in built if path.exists()]) == 1
    tool.good("deploy", str(repository.path))
    assert "environments" not in tool.good("prune", "--yes", "--cache").out


def test_what_is_asked_for_wrongly_is_said(tool: Tool) -> None:
    tool.good("prune", "--yes")
    age = tool("prune", "--older-than", "soon")
    assert age.code == 2 and "'soon' is not an age like 30d, 12h or 4w" in age.err
    assert "there is no pipeline demo" in tool("prune", "demo").err


def test_deploys_and_prunes_go_on_beside_each_other(tool: Tool, repository: Repository) -> None:
    """Two pipelines make the same, slowly read, while each of their old runs is forgotten at once."""
    make = "import os\nopen(os.environ['BODYWORK_OUTPUT_MODEL'], 'w').write('the same')\n"
    use = "import os, time\ntime.sleep(0.3)\nprint(open(os.environ['BODYWORK_INPUT_MODEL']).read())\n"
    file = (
        'version: "2"\nname: {}\npython: "3.11"\nworkflow: make >> use >> again\nstages:\n'
        "  make: {{run: make.py, outputs: {{model: model.txt}}}}\n"
        "  use: {{run: use.py, inputs: {{model: make.model}}}}\n"
        "  again: {{run: use.py, inputs: {{model: make.model}}}}\n"
    )
    names, over = ("one", "two"), threading.Event()
    for name in names:
        repository.write({f"{name}/bodywork.yaml": file.format(name), f"{name}/make.py": make})
        repository.write({f"{name}/use.py": use})
    repository.commit()
    refused: list[str] = []

    def prune() -> None:
        while not over.is_set():
            answer = tool("prune", "--keep", "1", "--yes")
            if answer.code:
                refused.append(answer.err)

    def deploys(name: str) -> None:
        for _ in range(4):
            answer = tool("deploy", str(repository.path), "--file", f"{name}/bodywork.yaml", "--wait")
            if answer.code:
                refused.append(answer.err + answer.out)

    threads = [threading.Thread(target=deploys, args=(name,)) for name in names]
    pruning = threading.Thread(target=prune)
    for one in (*threads, pruning):
        one.start()
    for one in threads:
        one.join()
    over.set()
    pruning.join()
    assert not refused
    tool.good("prune", "--keep", "1", "--yes")
    assert len(tool.good("runs", "--output", "json").json) == 2
