"""Notices: a chat that is told how runs end, and what is told of a chat that cannot be."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from hooked import chat, drop_by_drop, never
from places import Place
from tool import Repository, Tool, wait_for

HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'
TOKEN = "s3cr3t/tok+n for you"


def project(notify: str, module: str, more: str = "") -> dict[str, str]:
    return {"bodywork.yaml": f"{HEAD}{notify}\nstages:\n  one: {{run: one.py{more}}}\n", "one.py": module}


def well(tool: Tool, repository: Repository, well: bool, *options: str) -> None:
    assert tool("deploy", str(repository.path), *options, timeout=300).code == (0 if well else 1)


def test_a_chat_is_told_of_the_first_success_of_failures_and_when_all_is_well_again(
    place: Place, repository: Repository
) -> None:
    tool = place.tool
    good, bad = project("notify: {secret: chat, form: json}", "pass"), {"one.py": "raise SystemExit(3)"}
    with chat() as there:
        assert tool.told("secret", "set", "chat", "WEBHOOK_URL", text=there.url).code == 0
        commit = repository.commit(good)
        well(tool, repository, True)
        well(tool, repository, True)
        repository.commit(bad)
        well(tool, repository, False)
        well(tool, repository, False, "--date", "2026-03-01")
        repository.commit(good)
        well(tool, repository, True)
        well(tool, repository, True)
    told = [(one["notice"], one["previous_state"], one["stage"]) for one in there.got]
    assert told == [
        ("first-success", None, None),
        ("failed", "succeeded", "one"),
        ("failed", "failed", "one"),
        ("recovered", "failed", None),
    ]
    first, second, third, _ = there.got
    run = tool.good("runs", "demo", "--output", "json").json[-1]
    assert first == {
        "notice": "first-success",
        "pipeline": "demo",
        "target": tool.extra.get("BODYWORK_TARGET", "local"),
        "run": run["run"],
        "commit": commit,
        "ref": "main",
        "repository": str(repository.path),
        "date": None,
        "state": "succeeded",
        "previous_state": None,
        "stage": None,
        "reason": "",
        "started": run["started"],
        "ended": run["ended"],
    }
    assert second["reason"] == "one failed: exited with 3"
    assert third["date"] == "2026-03-01"


def test_slack_gets_a_message_and_each_webhook_only_what_it_asked_for(
    tool: Tool, repository: Repository
) -> None:
    with chat() as one, chat() as other:
        hooks = f'notify:\n  - {{webhook: "{one.url}"}}\n  - {{webhook: "{other.url}", on: [recovered]}}'
        commit = repository.commit(project(hooks, "raise SystemExit('no <rows> & no columns')"))
        answer = tool("deploy", str(repository.path))
        assert "notify[0].webhook: whoever can read this file can write there" in answer.err
        repository.commit({"one.py": "pass"})
        well(tool, repository, True)
    run = tool.good("runs", "demo", "--output", "json").json[-1]["run"]
    said, well_now = one.got
    first, details = said["text"].split("\n")
    assert first == "*demo* on local failed: one failed: exited with 1"
    assert details == f"run {run} at commit {commit[:12]} (main) — `bodywork logs demo --run {run}`"
    assert well_now["text"].startswith("*demo* on local went well for the first time\nrun ")
    assert other.got == []


def test_a_run_that_was_killed_is_told_of_by_the_next_one(
    tool: Tool, repository: Repository, tmp_path: Path
) -> None:
    waits = f"import os, time\nopen({str(tmp_path / 'here')!r}, 'w').close()\ntime.sleep(60)\n"
    with chat() as there:
        hooks = f'notify: {{webhook: "{there.url}", form: json}}'
        repository.commit(project(hooks, "pass"))
        well(tool, repository, True)
        repository.commit({"one.py": waits})
        with tool.start("deploy", str(repository.path)) as child:
            wait_for((tmp_path / "here").exists, 30)
            os.kill(child.pid, signal.SIGKILL)
        repository.commit({"one.py": "pass"})
        well(tool, repository, True)
        well(tool, repository, True)
    told = {(one["notice"], one["state"], one["previous_state"]) for one in there.got[1:]}
    assert told == {("failed", "interrupted", "succeeded"), ("recovered", "succeeded", "interrupted")}
    assert len(there.got) == 3
    killed = next(one for one in there.got if one["state"] == "interrupted")
    assert killed["reason"] == "its command was killed, or its machine went down"


def test_a_run_that_goes_on_after_it_failed_has_recovered(
    tool: Tool, repository: Repository, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    with chat() as there:
        hooks = f'notify: {{webhook: "{there.url}", form: json}}'
        repository.commit(project(hooks, f"import os\nos.path.exists({str(flag)!r}) or exit(3)\n"))
        flag.touch()
        well(tool, repository, True)
        flag.unlink()
        well(tool, repository, False)
        flag.touch()
        tool.good("resume", "demo")
    assert [one["notice"] for one in there.got] == ["first-success", "failed", "recovered"]
    assert there.got[1]["run"] == there.got[2]["run"]


@pytest.mark.parametrize("answer", [never, drop_by_drop])
def test_a_chat_that_hangs_does_not_hold_up_the_run_for_long(
    tool: Tool, repository: Repository, answer: Any
) -> None:
    with chat(answer) as there:
        repository.commit(project(f'notify: {{webhook: "{there.url}"}}', "pass"))
        began = time.monotonic()
        done = tool("deploy", str(repository.path))
        took = time.monotonic() - began
    run = tool.good("runs", "demo", "--output", "json").json[0]
    assert (done.code, run["state"]) == (0, "succeeded")
    assert "warning: the webhook at 127.0.0.1 was not told: it did not take it within 10 s" in done.err
    assert took < 25
    assert "t0k3n-0f-the-chat" not in (done.out + done.err).replace(there.url, "")


def test_the_address_and_secrets_are_in_nothing_that_is_said(tool: Tool, repository: Repository) -> None:
    raises = "import os\nprint(os.environ['API_TOKEN'])\nraise SystemExit(os.environ['API_TOKEN'])\n"
    with chat() as there:
        assert tool.told("secret", "set", "chat", "WEBHOOK_URL", text=there.url).code == 0
        assert tool.told("secret", "set", "weather", "API_TOKEN", text=TOKEN).code == 0
        repository.commit(project("notify: {secret: chat}", raises, ", secrets: {API_TOKEN: weather}"))
        answer = tool("deploy", str(repository.path))
    assert len(there.got) == 1
    assert TOKEN not in str(there.got)
    answer = tool("deploy", str(repository.path))  # nobody listens any more
    assert "warning: the webhook at 127.0.0.1 was not told: connection refused" in answer.err
    for path in (tool.home / "state").rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            assert b"t0k3n-0f-the-chat" not in path.read_bytes(), path
    assert "t0k3n" not in answer.out + answer.err


def test_a_missing_address_is_found_before_anything_runs(tool: Tool, repository: Repository) -> None:
    repository.commit(project("notify: {secret: chat}", "pass"))
    for command in ("plan", "deploy"):
        answer = tool(command, str(repository.path))
        assert answer.code == 2
        assert "secrets that stages of demo name are not there: chat/WEBHOOK_URL (for notify)" in answer.err
        assert "bodywork secret set chat WEBHOOK_URL" in answer.err


def test_nobody_is_told_of_a_back_fill(tool: Tool, repository: Repository) -> None:
    with chat() as there:
        repository.commit(project(f'notify: {{webhook: "{there.url}"}}', "raise SystemExit(3)"))
        well(tool, repository, False, "--date", "2026-03-01..2026-03-03")
    assert there.got == []


def test_a_time_of_a_schedule_at_which_no_run_could_begin_is_told_of(
    tool: Tool, repository: Repository
) -> None:
    away = repository.path.with_name("vanished")
    with chat() as there:
        hooks = f'notify: {{webhook: "{there.url}", form: json, on: [failed, recovered]}}'
        repository.commit(project(hooks, "pass"))
        well(tool, repository, True)
        tool.good("schedule", str(repository.path), "--cron", "0 6 1 1 *")
        repository.path.rename(away)
        tool("schedule", "run-now", "demo")
        wait_for(lambda: there.got, 30)
        away.rename(repository.path)
        for _ in range(2):
            ran = len(tool.good("runs", "-o", "json").json)
            tool.good("schedule", "run-now", "demo")
            wait_for(
                lambda ran=ran: [
                    one["ended"] for one in tool.good("runs", "-o", "json").json if one["ended"]
                ][ran:]
            )
        wait_for(lambda: len(there.got) > 1, 15)
    failed, recovered = there.got
    assert (failed["notice"], failed["run"], failed["commit"]) == ("failed", None, None)
    assert failed["previous_state"] == "succeeded"
    assert "there is no folder" in failed["reason"]
    assert (recovered["notice"], recovered["previous_state"]) == ("recovered", "failed")
