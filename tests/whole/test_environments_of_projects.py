"""The same commit has the same packages, wherever and whenever it is deployed; every way to ask for them."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import uv

from tool import Answer, Repository, Tool

pytestmark = [pytest.mark.slow, pytest.mark.network]
Project = Callable[..., Repository]
OCTOBER = "2025-10-01T00:00:00+00:00"
NOWHERE = "http://127.0.0.1:9"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
NO_NETWORK = dict.fromkeys(PROXIES, NOWHERE)


def digests(answer: Answer) -> dict[str, str]:
    return {stage["name"]: stage["environment"] for stage in answer.json["stages"]}


def plan(tool: Tool, repository: Path, *options: str) -> dict[str, str]:
    """The lock of each stage."""
    return digests(tool.good("plan", str(repository), "-o", "json", *options, timeout=300))


def locks(tool: Tool) -> str:
    return "".join(path.read_text() for path in (tool.home / "state" / "environments").glob("*.json"))


def elsewhere(tool: Tool, folder: Path, **variables: str) -> Tool:
    """The tool on a machine that has seen nothing yet, but for uv's downloads."""
    (folder / "home").mkdir(parents=True)
    return Tool(home=folder / "home", cache=folder / "cache", extra=variables)


def test_a_commit_has_the_same_packages_in_two_homes_twice_and_after_a_change_of_code(
    tool: Tool, project: Project, secret: Callable[[str, str], None], tmp_path: Path
) -> None:
    repository = project("churn", date="2022-03-20T12:00:00+00:00")
    tool.extra["BODYWORK_CACHE"] = str(tmp_path / "cache")
    secret("testing/crm-credentials/CRM_PASSWORD", "x")
    secret("testing/team-chat/CHAT_TOKEN", "x")
    other = elsewhere(tool, tmp_path / "elsewhere")
    shutil.copytree(tool.home / "state", other.home / "state")

    first = plan(tool, repository.path)
    assert plan(tool, repository.path) == plan(other, repository.path) == first
    repository.commit({"server/__init__.py": "# nothing\n"}, date="2026-01-01T00:00:00+00:00")
    later = tool.good("plan", str(repository.path), "-o", "json")
    assert digests(later) == first
    assert "packages are as of 2022-03-20, when the project last changed what it asks for" in later.err
    assert plan(tool, repository.path, "--as-of", "2022-06-01") != first
    assert "werkzeug==2.0.3" in locks(tool) and "werkzeug==2.1.2" in locks(tool)


def test_a_shallow_clone_says_that_its_packages_may_be_others(
    tool: Tool, project: Project, tmp_path: Path
) -> None:
    repository = project("monorepo", date="2024-05-01T00:00:00+00:00")
    text = "version: '2'\nname: shallow\nstages: {a: {run: a.py, requirements: [six]}}\n"
    repository.commit({"bodywork.yaml": text, "a.py": "pass\n"}, date="2021-01-01T00:00:00+00:00")
    repository.commit({"b.py": "pass\n"}, date="2021-06-01T00:00:00+00:00")
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", str(tmp_path / "cut"))
    assert "as of 2021-01-01" in tool.good("plan", str(repository.path)).err
    shallow = tool.good("plan", str(tmp_path / "cut"))
    assert "this clone is shallow" in shallow.err and "as of that day" in shallow.err
    assert "this clone" not in tool.good("plan", str(tmp_path / "cut"), "--as-of", "2021-01-01").err


def test_a_run_without_network_when_mirror_and_environments_are_at_hand(
    tool: Tool, project: Project, tmp_path: Path
) -> None:
    repository = project("sensors-north", date="2022-03-20T12:00:00+00:00")
    tool.good("deploy", str(repository.path), timeout=300)
    tool.good("delete", "sensors-north", "--yes")
    empty = tmp_path / "empty"
    empty.mkdir()
    tool.extra |= {**NO_NETWORK, "UV_CACHE_DIR": str(empty)}
    done = tool.good("deploy", str(repository.path), "-o", "json")
    assert done.json["state"] == "succeeded"
    assert "north/collect north/alarms" in tool.good("logs", "sensors-north", "ask").out
    fresh = elsewhere(tool, tmp_path / "fresh", **NO_NETWORK, UV_CACHE_DIR=str(empty), UV_HTTP_RETRIES="0")
    refused = fresh("deploy", str(repository.path))
    assert refused.code == 4
    assert "cannot be reached" in refused.err or "out of reach" in refused.err


def interpreter(version: str) -> str | None:
    """A Python of this machine, where people keep them."""
    found = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def test_every_way_to_ask_for_packages_on_five_pythons(tool: Tool, project: Project) -> None:
    versions = ("3.8", "3.9", "3.11", "3.12", "3.13")
    pythons = {version: interpreter(version) for version in versions}
    if missing := [version for version, path in pythons.items() if path is None]:
        pytest.skip(f"Python {', '.join(missing)} is not on this machine")
    repository = project("many-pythons", date=OCTOBER)
    pylock = ("pip", "compile", "--format", "pylock.toml", "-o", "pylock.toml", "pyproject.toml")
    for version, *command in (("3.13", "lock"), ("3.12", *pylock)):
        options = ("--exclude-newer", OCTOBER, "--quiet", "--python", str(pythons[version]))
        subprocess.run([uv.find_uv_bin(), *command, *options], cwd=repository.path, check=True)
    repository.commit(date=OCTOBER)
    tool.good("deploy", str(repository.path), timeout=300)
    lines = tool.good("logs", "many-pythons", "compare").out.splitlines()
    said = {line.split()[0]: line.split()[1:] for line in lines}
    assert said == {
        "list": ["python=3.8", "six=1.17.0", "zipp=3.20.2"],
        "text": ["python=3.9", "six=1.17.0", "zipp=3.5.1"],
        "hashes": ["python=3.11", "six=1.16.0"],
        "project": ["python=3.12", "six=1.15.0", "zipp=3.23.0"],
        "uv_lock": ["python=3.13", "six=1.15.0", "zipp=3.23.0"],
        "pylock": ["python=3.12", "six=1.15.0", "zipp=3.23.0"],
    }


def test_a_project_in_a_folder_of_a_big_repository(tool: Tool, project: Project, tmp_path: Path) -> None:
    """Another file name, its own package and a neighbour's built from their folders, a submodule."""
    weights = Repository(tmp_path / "weights")
    weights.path.mkdir()
    weights.git("init", "--quiet", "--initial-branch", "main")
    weights.commit({"weights.py": "WEIGHT = 21\n"})
    repository = project("monorepo")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    repository.git(*add, str(weights.path), "ml/scoring/vendored")
    repository.commit()
    file = ("--file", "ml/scoring/deploy.yaml")
    done = tool.good("deploy", str(repository.path), *file, "-o", "json", timeout=300).json
    said = tool.good("logs", "scoring", "check").out
    assert "scoring of the monorepo with six 1.16.0 and zipp from" in said
    assert "site-packages" in said
    with urllib.request.urlopen(done["services"][0]["url"], timeout=10) as answer:
        assert answer.read() == b"42"
    inside = tool.good("plan", "--file", "deploy.yaml", "-o", "json", cwd=repository.path / "ml" / "scoring")
    assert all(stage["environment_built"] for stage in inside.json["stages"])


def test_packages_of_today_of_a_day_and_of_the_commit(tool: Tool, repository: Repository) -> None:
    def commit(resolve: str) -> None:
        text = f"version: '2'\nname: days\n{resolve}stages: {{a: {{run: a.py, requirements: [zipp]}}}}\n"
        repository.commit({"bodywork.yaml": text, "a.py": "pass\n"}, date="2021-01-01T00:00:00+00:00")

    seen = {}
    for resolve in ("", "resolve: 2023-01-01\n", "resolve: latest\n"):
        commit(resolve)
        seen[resolve] = plan(tool, repository.path)["a"]
    assert len(set(seen.values())) == 3
    assert plan(tool, repository.path, "--as-of", "2021-01-01T00:00:00Z")["a"] == seen[""]
    assert "zipp==3.4.0" in locks(tool) and "zipp==3.11.0" in locks(tool)


def test_notebooks_pass_on_what_they_make_and_tell_what_went_wrong(tool: Tool, project: Project) -> None:
    repository = project("notebook-chain", date=OCTOBER)
    done = tool.good("deploy", str(repository.path), timeout=300)
    assert "measuring 2" in done.out and "slope 3.0, at zero 1.0" in done.out
    file = repository.path / "bodywork.yaml"
    repository.commit({"bodywork.yaml": file.read_text().replace('"1"]', '"2"]')}, date=OCTOBER)
    failed = tool("deploy", str(repository.path), "-o", "json")
    assert failed.code == 1
    states = {stage["name"]: stage["state"] for stage in failed.json["stages"]}
    assert states == {"measure": "succeeded", "model": "failed", "report": "skipped", "tell": "succeeded"}
    said = tool.good("logs", "notebook-chain", "model").out
    assert "ValueError: cannot fit a curve of degree 2" in said and "in cell 2 of 3" in said
    assert "TOLD of model" in tool.good("logs", "notebook-chain", "tell").out
    kept = tool.home / "state" / "runs" / failed.json["run"] / "notebooks" / "model.ipynb"
    outputs = [output for cell in json.loads(kept.read_text())["cells"] for output in cell.get("outputs", [])]
    assert outputs[-1]["ename"] == "ValueError"


def test_a_file_that_requirements_include_sets_the_date_too(tool: Tool, repository: Repository) -> None:
    files = {
        "bodywork.yaml": 'version: "2"\nname: x\npython: "3.11"\n'
        "stages: {a: {run: a.py, requirements: requirements.txt}}\n",
        "a.py": "pass\n",
        "requirements.txt": "-r deep/base.txt\n",
        "deep/base.txt": "six==1.15.0\n",
    }
    repository.commit(files, date="2020-06-01T00:00:00+00:00")
    repository.commit({"deep/base.txt": "six==1.16.0\n"}, date="2021-06-01T00:00:00+00:00")
    repository.commit({"a.py": "print()\n"}, date="2022-06-01T00:00:00+00:00")
    assert "packages are as of 2021-06-01" in tool.good("plan", str(repository.path)).err
