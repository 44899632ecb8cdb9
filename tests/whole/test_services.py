"""Services under load: rolled out, rolled back, crashed and adopted, without a lost request."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from load import loaded
from tool import Repository, Tool, wait_for

HEAD = 'version: "2"\nname: web\npython: "3.11"\n'

SERVER = """
import http.server, os, sys, json

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"release": RELEASE, "pid": os.getpid()} if self.path == "/who" else RELEASE)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""


def project(release: str, *, settings: str = "", module: str | None = None) -> dict[str, str]:
    return {
        "bodywork.yaml": f"{HEAD}stages:\n  serve:\n    run: serve.py\n{settings}"
        "    service: {port: 5000, replicas: 2, startup_timeout: 20s}\n",
        "serve.py": module if module is not None else f"RELEASE = {release!r}\n{SERVER}",
    }


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def url_of(tool: Tool, pipeline: str = "web", stage: str = "serve") -> str:
    services = tool.good("status", pipeline, "-o", "json").json["services"]
    url: str = next(s["url"] for s in services if s["name"] == stage)
    return url


def pids(url: str) -> set[int]:
    """The processes that answer, as far as 40 requests show."""
    return {json.loads(get(f"{url}/who"))["pid"] for _ in range(40)}


def test_a_service_is_deployed_and_each_replica_gets_requests(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    done = tool.good("deploy", str(repository.path), "-o", "json").json
    service = done["services"][0]
    assert (service["ready"], service["replicas"], service["release"]) == (2, 2, done["run"])
    assert get(service["url"]) == '"one"'
    assert len(pids(service["url"])) == 2


def test_an_unchanged_service_is_left_alone(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    before = pids(url_of(tool))
    planned = tool.good("plan", str(repository.path), "-o", "json").json
    assert planned["stages"][0]["action"] == "keep"
    assert "same files, packages, settings" in planned["stages"][0]["reason"]
    again = tool.good("deploy", str(repository.path), "-o", "json").json
    assert again["stages"][0]["state"] == "unchanged"
    assert pids(url_of(tool)) == before


def pids_in_the_end(url: str) -> set[int]:
    """The processes that answer; none when one of the requests was lost."""
    try:
        return pids(url)
    except OSError:
        return set()


@pytest.mark.slow
def test_a_new_commit_and_a_rollback_lose_no_request(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    with loaded(url_of(tool)) as load:
        repository.commit(project("two"))
        tool.good("deploy", str(repository.path))
        switched = time.monotonic()
        wait_for(lambda: load.after(switched + 1), seconds=10)
        tool.good("rollback", "web")
        back = time.monotonic()
        wait_for(lambda: load.after(back + 1), seconds=10)
    assert load.failures == []
    assert load.seen() == {'"one"', '"two"'}
    assert load.after(back + 0.5) == {'"one"'}
    kinds = [run["kind"] for run in tool.good("runs", "web", "-o", "json").json]
    assert kinds == ["rollback", "deploy", "deploy"]


def test_a_rollback_goes_to_the_newest_release_that_does_not_run(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    repository.commit(project("two"))
    tool.good("deploy", str(repository.path), "--only", "serve")  # makes no release
    url = url_of(tool)
    assert get(url) == '"two"'
    tool.good("rollback", "web")
    assert get(url) == '"one"'


def test_a_resumed_run_of_chosen_stages_makes_no_release(tool: Tool, repository: Repository) -> None:
    flag = tool.home / "flag"
    late = f"import os\nif not os.path.exists({str(flag)!r}): raise SystemExit(1)\n"
    files = project("one")
    files["bodywork.yaml"] = files["bodywork.yaml"].replace(
        "stages:\n", "workflow: other, serve\nstages:\n  other: {run: other.py}\n"
    )
    repository.commit({**files, "other.py": "pass\n"})
    first = tool.good("deploy", str(repository.path), "-o", "json").json["run"]
    repository.commit({"serve.py": f"{late}RELEASE = 'two'\n{SERVER}"})
    assert tool("deploy", str(repository.path), "--only", "serve").code == 1
    flag.touch()
    tool.good("resume", "web")
    chosen = tool.good("runs", "web", "-o", "json").json[0]["run"]
    refused = tool("rollback", "web", "--to", chosen)
    assert refused.code == 2 and f"releases, newest first: {first}" in refused.err


@pytest.mark.slow
def test_a_change_of_nothing_but_packages_is_rolled_out(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    with loaded(url_of(tool)) as load:
        repository.commit(project("one", settings="    requirements: [six==1.16.0]\n"))
        planned = tool.good("plan", str(repository.path)).out
        assert "replace" in planned and "packages" in planned
        before = pids(load.url)
        tool.good("deploy", str(repository.path))
        wait_for(lambda: not (pids(load.url) & before), seconds=10)
    assert load.failures == []


@pytest.mark.slow
def test_a_release_that_never_gets_ready_leaves_the_old_one_serving(
    tool: Tool, repository: Repository
) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    with loaded(url_of(tool)) as load:
        text = project("x", module="import time\nprint('loading', flush=True)\ntime.sleep(300)\n")
        text["bodywork.yaml"] = text["bodywork.yaml"].replace("20s", "2s")
        repository.commit(text)
        answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert "was not ready within 2" in answer.err and "listens on no port" in answer.err
    assert "loading" in answer.out
    assert load.failures == []
    assert load.seen() == {'"one"'}
    assert len(pids(load.url)) == 2


def test_a_service_that_dies_at_start_fails_at_once(tool: Tool, repository: Repository) -> None:
    repository.commit(project("x", module="print('no model')\nraise SystemExit(7)\n"))
    begin = time.monotonic()
    answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert "exited with 7" in answer.err
    assert "no model" in answer.out
    assert time.monotonic() - begin < 15
    assert tool.good("status", "web", "-o", "json").json["services"] == []


@pytest.mark.slow
def test_the_agent_killed_under_load_is_back_and_its_services_were_not_restarted(
    tool: Tool, repository: Repository
) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    url = url_of(tool)
    before = pids(url)
    agent = tool.good("agent", "status", "-o", "json").json["pid"]
    os.kill(agent, signal.SIGKILL)

    def answers() -> bool:
        try:
            return get(url) == '"one"'
        except OSError:
            return False

    wait_for(answers, seconds=10, every=0.02)
    assert pids(url) == before
    assert tool.good("agent", "status", "-o", "json").json["pid"] != agent


@pytest.mark.slow
def test_a_replica_killed_loses_at_most_what_it_was_answering(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    with loaded(url_of(tool)) as load:
        victim = min(pids(load.url))
        asked = len(load.answers)
        wait_for(lambda: len(load.answers) > asked + 20)
        psutil.Process(victim).kill()
        wait_for(lambda: len(pids_in_the_end(load.url) - {victim}) == 2, seconds=15)
    assert len(load.failures) <= 2


def test_deleting_a_pipeline_ends_its_services(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    running = pids(url_of(tool))
    tool.good("delete", "web", "--yes")
    assert not any(psutil.pid_exists(pid) for pid in running)


def test_a_service_that_the_workflow_no_longer_names_is_removed(tool: Tool, repository: Repository) -> None:
    files = project("one")
    repository.commit(files)
    tool.good("deploy", str(repository.path))
    files["bodywork.yaml"] = f"{HEAD}stages:\n  other: {{run: other.py}}\n"
    repository.commit({**files, "other.py": "pass\n"})
    assert "remove" in tool.good("plan", str(repository.path)).out
    answer = tool.good("deploy", str(repository.path))
    assert "serve removed" in answer.out
    assert tool.good("status", "web", "-o", "json").json["services"] == []


def test_the_logs_of_a_service_stay_and_can_be_read(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one", module=f"RELEASE = 'one'\nprint('up and away', flush=True)\n{SERVER}"))
    tool.good("deploy", str(repository.path))
    assert tool.good("logs", "web", "serve").out.count("up and away") == 2


def test_the_files_of_releases_that_are_over_are_deleted_and_their_logs_stay(
    tool: Tool, repository: Repository
) -> None:
    module = f"import os\nprint(os.environ['PYTHONPATH'] == os.getcwd(), flush=True)\n{SERVER}"
    for release in ("one", "two", "three"):
        repository.commit(project(release, module=f"RELEASE = {release!r}\n{module}"))
        tool.good("deploy", str(repository.path))
    releases = sorted((tool.home / "state" / "services" / "web" / "serve").iterdir())
    assert [(release / "project").exists() for release in releases][::2] == [False, True]
    assert all((release / "replica-1.log").read_text() == "True\n" for release in releases)


def test_a_taken_port_is_named_with_its_holder(tool: Tool, repository: Repository) -> None:
    import socket

    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        files = project("one")
        files["bodywork.yaml"] = files["bodywork.yaml"].replace("5000", str(port))
        repository.commit(files)
        answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert f"port {port}" in answer.err and str(os.getpid()) in answer.err


def test_the_agent_leaves_when_there_is_nothing_to_look_after(tool: Tool, repository: Repository) -> None:
    repository.commit(project("one"))
    tool.good("deploy", str(repository.path))
    tool.good("delete", "web", "--yes")
    wait_for(lambda: not tool.processes(), seconds=20)
    assert not Path(tool.home / "state" / "services" / "web").exists()
