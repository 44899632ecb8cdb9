"""Mistakes: each ends with its exit code, a sentence and the next step, and never with a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tool import Repository, Tool

HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'
GOOD = {"bodywork.yaml": f"{HEAD}stages:\n  one: {{run: one.py}}\n", "one.py": "print('hello')\n"}


def refused(tool: Tool, *arguments: str, code: int = 2, cwd: Path | None = None) -> str:
    """What a command says that has to fail with `code`, with a hint and without a traceback."""
    answer = tool(*arguments, cwd=cwd)
    assert answer.code == code, f"{answer.code}\n{answer.out}\n{answer.err}"
    assert "Traceback" not in answer.err + answer.out
    return answer.err


def test_a_misspelt_key_is_named_with_its_place(tool: Tool, repository: Repository) -> None:
    repository.commit({**GOOD, "bodywork.yaml": f"{HEAD}stages:\n  one: {{run: one.py, memroy: 3}}\n"})
    said = refused(tool, "deploy", str(repository.path))
    assert "error: bodywork.yaml:5:22: stages.one.memroy: unknown key" in said


def test_every_error_of_a_file_is_one(tool: Tool, repository: Repository) -> None:
    repository.commit(
        {**GOOD, "bodywork.yaml": f"{HEAD}stages:\n  one: {{run: no.py, memroy: 3, argz: 1}}\n"}
    )
    said = refused(tool, "deploy", str(repository.path))
    assert said.count("error: bodywork.yaml:5:") == 3


def test_a_module_that_is_not_there_is_named_with_the_nearest(tool: Tool, repository: Repository) -> None:
    repository.commit({**GOOD, "bodywork.yaml": f"{HEAD}stages:\n  one: {{run: ona.py}}\n"})
    said = refused(tool, "deploy", str(repository.path))
    assert "stages.one.run" in said and "ona.py" in said and "one.py" in said


def test_there_is_no_bodywork_yaml(tool: Tool, repository: Repository) -> None:
    repository.commit({"README": "hello"})
    assert "bodywork.yaml" in refused(tool, "deploy", str(repository.path))


def test_a_folder_that_is_no_repository(tool: Tool, tmp_path: Path) -> None:
    said = refused(tool, "deploy", str(tmp_path))
    assert "git init" in said or "not a Git repository" in said


def test_a_ref_that_does_not_exist_is_named_with_the_nearest(tool: Tool, repository: Repository) -> None:
    repository.commit(GOOD)
    said = refused(tool, "deploy", str(repository.path), "--ref", "mian")
    assert "mian" in said and "main" in said


def test_a_host_that_does_not_exist_is_out_of_reach(tool: Tool) -> None:
    said = refused(tool, "deploy", "https://nowhere.invalid/team/iris.git", code=4)
    assert "nowhere.invalid" in said and "hint" in said


def test_a_credential_in_a_url_is_never_shown(tool: Tool) -> None:
    said = refused(tool, "deploy", "https://user:t0psecret@nowhere.invalid/iris.git", code=4)
    assert "t0psecret" not in said


@pytest.mark.parametrize("location", ["ext::sh -c whoami", "--upload-pack=whoami", "ftp://host/iris"])
def test_locations_that_git_must_not_be_asked_for(tool: Tool, location: str) -> None:
    refused(tool, "deploy", "--", location)


def test_an_unknown_stage_in_only(tool: Tool, repository: Repository) -> None:
    repository.commit(GOOD)
    assert "its stages are: one" in refused(tool, "deploy", str(repository.path), "--only", "two")


def test_an_unknown_target(tool: Tool, repository: Repository) -> None:
    repository.commit(GOOD)
    said = refused(tool, "deploy", str(repository.path), "--target", "moon")
    assert "targets are: local" in said


def test_a_python_that_does_not_exist(tool: Tool, repository: Repository) -> None:
    repository.commit({**GOOD, "bodywork.yaml": GOOD["bodywork.yaml"].replace("3.11", "3.99")})
    said = refused(tool, "deploy", str(repository.path))
    assert "3.99" in said and "hint" in said


@pytest.mark.network
def test_a_package_that_does_not_exist(tool: Tool, repository: Repository) -> None:
    text = f"{HEAD}stages:\n  one: {{run: one.py, requirements: [no-such-package-zzz==1.0]}}\n"
    repository.commit({**GOOD, "bodywork.yaml": text})
    said = refused(tool, "deploy", str(repository.path))
    assert "stage one" in said and "no-such-package-zzz" in said


@pytest.mark.network
def test_packages_that_conflict_are_explained(tool: Tool, repository: Repository) -> None:
    text = f"{HEAD}stages:\n  one: {{run: one.py, requirements: [flask==2.1.2, werkzeug==1.0.0]}}\n"
    repository.commit({**GOOD, "bodywork.yaml": text})
    said = refused(tool, "deploy", str(repository.path), "--as-of", "2022-06-01")
    assert "flask==2.1.2" in said and "werkzeug" in said and "Because" in said


def test_a_missing_secret_is_found_before_anything_runs(tool: Tool, repository: Repository) -> None:
    text = f"{HEAD}stages:\n  one: {{run: one.py, secrets: {{TOKEN: tokens}}}}\n"
    repository.commit({**GOOD, "bodywork.yaml": text})
    assert "tokens/TOKEN" in refused(tool, "plan", str(repository.path))


def test_a_home_that_cannot_be_made(tool: Tool, repository: Repository, tmp_path: Path) -> None:
    repository.commit(GOOD)
    (tmp_path / "file").write_text("")
    tool.extra = {"BODYWORK_HOME": str(tmp_path / "file" / "state")}
    assert "BODYWORK_HOME" in refused(tool, "deploy", str(repository.path))


def test_pipelines_runs_and_stages_that_do_not_exist(tool: Tool, repository: Repository) -> None:
    repository.commit(GOOD)
    tool.good("deploy", str(repository.path))
    assert "did you mean demo?" in refused(tool, "status", "demmo")
    assert "nope" in refused(tool, "logs", "demo", "--run", "nope")
    assert "its stages are: one" in refused(tool, "logs", "demo", "two")
    assert "nothing to resume" in refused(tool, "resume", "demo")
    assert "no earlier release" in refused(tool, "rollback", "demo")


def test_a_command_that_does_not_exist(tool: Tool) -> None:
    assert "did you mean 'deploy'?" in refused(tool, "delpoy")


def test_a_full_disk_is_said_in_words(tool: Tool, repository: Repository, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        module = "import os\nopen(os.environ['BODYWORK_OUTPUT_BIG'], 'wb').write(b'x' * 8_000_000)\n"
        repository.commit(
            {
                "bodywork.yaml": f"{HEAD}stages:\n  one: {{run: one.py, outputs: {{big: big.bin}}}}\n",
                "one.py": module,
            }
        )
        tool.extra = {"BODYWORK_HOME": str(mount / "state")}
        answer = tool("deploy", str(repository.path))
        assert answer.code in (1, 2)
        assert "No space left on device" in answer.out + answer.err or "is full" in answer.err
        assert "a bug in bodywork" not in answer.err
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize("place", ["state", "cache"])
@pytest.mark.parametrize("size", ["200k", "600k", "2m"])
def test_no_room_at_any_time_is_a_sentence_and_room_mends_it(
    tool: Tool, repository: Repository, tmp_path: Path, place: str, size: str
) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        serve = "import http.server as h\n"
        serve += "h.ThreadingHTTPServer(('', 5000), h.SimpleHTTPRequestHandler).serve_forever()\n"
        module = "import os\nopen(os.environ['BODYWORK_OUTPUT_BIG'], 'wb').write(b'x' * 400_000)\n"
        repository.commit(
            {f"data/{n}": "x" * 5000 for n in range(40)}
            | {
                "bodywork.yaml": f"{HEAD}workflow: one >> serve\nstages:\n"
                "  one: {run: one.py, outputs: {big: big.bin}}\n"
                "  serve: {run: serve.py, service: {port: 5000, startup_timeout: 20s}}\n",
                "one.py": module,
                "serve.py": serve,
            }
        )
        if place == "state":
            (tool.home / "state").symlink_to(mount)
        else:
            tool.extra = {"BODYWORK_CACHE": str(mount)}
        answer = tool("deploy", str(repository.path))
        assert answer.code in (0, 1, 2), answer.err
        assert answer.code == 0 or "pace left" in answer.err or "is full" in answer.err, answer.err
        assert "Traceback" not in answer.err and "a bug in bodywork" not in answer.err
        subprocess.run(["mount", "-o", "remount,size=100m", str(mount)], check=True)
        tool.good("deploy", str(repository.path))
        assert not [p for p in mount.rglob("*") if p.name.endswith((".tmp", ".part")) or ".new" in p.name]
    finally:
        tool("agent", "stop")
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_output_into_a_closed_pipe_is_no_error(tool: Tool, repository: Repository) -> None:
    repository.commit(GOOD)
    tool.good("deploy", str(repository.path))
    script = f"{sys.executable} -m bodywork status demo | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], env=tool.env, capture_output=True)
    assert b"Traceback" not in done.stderr


def test_closed_standard_streams_are_no_error(tool: Tool, repository: Repository) -> None:
    repository.commit(GOOD)
    for closed in (">&-", "2>&-", ">&- 2>&- <&-"):
        script = f"{sys.executable} -m bodywork deploy {repository.path} {closed}"
        done = subprocess.run(["bash", "-c", script], env=tool.env, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert {run["state"] for run in tool.good("runs", "-o", "json").json} == {"succeeded"}


def test_the_end_of_a_terminal_is_none_of_a_run_that_ignores_it(tool: Tool, repository: Repository) -> None:
    module = "import time\nprint('up', flush=True)\ntime.sleep(1.5)\nprint('done')\n"
    repository.commit({**GOOD, "one.py": module})
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "bodywork", "deploy", str(repository.path)],
        env=tool.env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    os.close(theirs)
    seen = b""
    while b"up" not in seen:
        seen += os.read(ours, 4096)
    os.close(ours)
    assert child.wait(timeout=60) == 0
    assert tool.good("status", "demo", "-o", "json").json["state"] == "succeeded"


def test_a_damaged_history_is_told_at_once(tool: Tool) -> None:
    (tool.home / "state").mkdir()
    (tool.home / "state" / "history.db").write_bytes(b"no database " * 1000)
    for command in (["status"], ["agent", "start"], ["agent", "status"]):
        assert "it is damaged" in refused(tool, *command)
    assert "it is damaged" in tool("doctor").out
