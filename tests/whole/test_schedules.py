"""`bodywork schedule` as somebody uses it: at a terminal and in a pipe, with the mistakes that are made."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from terminal import at_a_terminal
from tool import Repository, Tool, wait_for

FILES = {
    "bodywork.yaml": f"""
version: "2"
name: iris
python: "{sys.version_info.major}.{sys.version_info.minor}"
schedule: {{cron: "0 6 * * 1-5", timezone: Europe/London}}
stages:
  train: {{run: train.py}}
""",
    "train.py": 'import os\nprint("trains for", os.environ["BODYWORK_DATE"])\n',
}
SLOW = {"train.py": "import time\nprint('begins', flush=True)\ntime.sleep(60)\n"}


@pytest.fixture
def project(repository: Repository) -> Repository:
    repository.commit(FILES)
    return repository


def history(tool: Tool, name: str = "iris") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tool.good("schedule", "history", name, "-o", "json").json
    return found


def ended(tool: Tool, *states: str) -> dict[str, Any]:
    """The newest firing, when it has one of these states."""
    wanted = states or ("succeeded", "failed", "skipped", "cancelled", "interrupted", "missed")
    found: dict[str, Any] = wait_for(
        lambda: next((row for row in history(tool)[:1] if row["state"] in wanted), None),
        seconds=60,
        every=0.2,
    )
    return found


def test_a_project_is_put_on_its_schedule_and_looked_after(tool: Tool, project: Repository) -> None:
    made = tool.good("schedule", str(project.path))
    assert made.out.startswith('schedule iris is made: "0 6 * * 1-5" in Europe/London\n')
    times = re.findall(
        r"^  (\w{3}) \d{4}-\d\d-\d\d 06:00 (GMT|BST) +\d{4}-\d\d-\d\d 0[56]:00 UTC$", made.out, re.M
    )
    assert len(times) == 5 and not {"Sat", "Sun"} & {day for day, _ in times}
    assert "bodywork agent install" in made.err
    assert "is as it was" in tool.good("schedule", str(project.path)).out

    changed = tool.good(
        "schedule", str(project.path), "--cron", "30 2 * * *", "--keep", "3", "--overlap", "replace"
    )
    assert "  cron: 0 6 * * 1-5 -> 30 2 * * *\n" in changed.out
    assert "  overlap: skip -> replace\n" in changed.out and "  keep: 30 -> 3\n" in changed.out
    (listed,) = tool.good("schedule", "list", "-o", "json").json
    assert (listed["cron"], listed["keep"], listed["timezone"]) == ("30 2 * * *", 3, "Europe/London")
    assert len(listed["next"]) == 5 and listed["last"] is None
    assert "has not fired yet" in tool.good("schedule", "list").out

    tool.good("schedule", "pause", "iris")
    assert "paused" in tool.good("schedule", "list").out
    assert "paused since" in tool.good("schedule", "show", "iris").out
    assert "it is paused" in tool.good("schedule", str(project.path)).out
    assert "next times" in tool.good("schedule", "resume", "iris").out

    deleted = tool.good("schedule", "delete", "iris", "--yes")
    assert "pipeline iris stays" in deleted.out
    assert tool.good("schedule", "list", "-o", "json").json == []


def test_run_now_is_an_ordinary_run_of_the_commit_of_that_moment(tool: Tool, project: Repository) -> None:
    tool.good("schedule", str(project.path), "--name", "nightly")
    newer = project.commit({"train.py": FILES["train.py"] + "print('newer')\n"})
    project.write({"train.py": "raise SystemExit('uncommitted work')\n"})
    begun = tool.good("schedule", "run-now", "nightly")
    followed = tool.good("schedule", "logs", "nightly", "--follow")
    assert re.fullmatch(r"train \| trains for \d{4}-\d\d-\d\d\ntrain \| newer\n", followed.out)
    row = wait_for(lambda: next((r for r in history(tool, "nightly") if r["state"] == "succeeded"), None))
    assert row["cause"] == "asked" and row["run"] in begun.out
    (run,) = tool.good("runs", "-o", "json").json
    assert (run["run"], run["kind"], run["commit"], run["ref"]) == (row["run"], "schedule", newer, "HEAD")
    assert run["date"] and tool.good("schedule", "logs", "nightly").out == followed.out
    assert "schedule nightly will run it again" in tool.good("delete", "iris", "--yes").err


def test_uncommitted_work_is_named_when_the_schedule_is_made(tool: Tool, project: Repository) -> None:
    project.write({"train.py": "print('not committed')\n"})
    made = tool.good("schedule", str(project.path))
    assert f"uncommitted work in {project.path} is not taken: a schedule runs commits" in made.err


def test_nothing_is_made_of_a_project_that_cannot_run(tool: Tool, project: Repository) -> None:
    broken = FILES["bodywork.yaml"].replace("train.py", "trian.py")
    project.commit({"bodywork.yaml": broken})
    assert tool("schedule", str(project.path)).code == 2
    wanting = FILES["bodywork.yaml"].replace("run: train.py", "run: train.py, secrets: {TOKEN: weather}")
    project.commit({"bodywork.yaml": wanting})
    answer = tool("schedule", str(project.path))
    assert answer.code == 2 and "bodywork secret set weather TOKEN" in answer.err
    assert tool.good("schedule", "list", "-o", "json").json == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--cron", "0 6 * *"],
            '--cron: must have five fields (minute, hour, day, month, weekday), not 4: "0 6 * *"',
        ),
        (["--cron", "@dayly"], 'did you mean "@daily"?'),
        (
            ["--timezone", "Europe/Londn"],
            '--timezone: no time zone "Europe/Londn" (did you mean "Europe/London"?)',
        ),
        (["--cron", "0 0 30 2 *"], 'cron expression "0 0 30 2 *" names a day that never comes'),
        (["--on-push", "3"], "--on-push: must be from 10s to 24h, not 3s"),
        (["--deadline", "soon", "--keep", "0"], "; --keep: must be at least 1, not 0"),
        (["--name", "Night_ly"], "did you mean night-ly?"),
        (["--overlap", "wait"], "'wait' is not one of 'skip', 'replace'"),
        (["--ref", "mian"], "did you mean main?"),
    ],
)
def test_a_mistake_in_the_rule_is_named(tool: Tool, project: Repository, words: list[str], said: str) -> None:
    answer = tool("schedule", str(project.path), *words)
    assert answer.code == 2 and said in answer.err
    assert tool.good("schedule", "list", "-o", "json").json == []


def test_mistakes_of_every_kind(tool: Tool, project: Repository) -> None:
    bare = FILES["bodywork.yaml"].replace("schedule:", "# schedule:")
    project.commit({"bodywork.yaml": bare})
    nothing = tool("schedule", str(project.path))
    assert nothing.code == 2 and "nothing says when the project is to run" in nothing.err
    assert '--cron "0 6 * * 1-5"' in nothing.err
    assert "did you mean 'history'?" in tool("schedule", "histroy").err
    assert "there is no schedule iriss" in tool("schedule", "show", "iriss").err
    tool.good("schedule", str(project.path), "--cron", "@daily")
    assert "did you mean iris?" in tool("schedule", "pause", "iriss").err
    assert tool("schedule", "delete", "iris").err == (
        "error: nothing was deleted: that cannot be undone, and there is nobody to ask\n"
        "hint: say --yes to do it unasked\n"
    )
    assert tool("delete", "iris", "--yes").err == (
        "error: pipeline iris has no runs yet; schedule iris will run it\n"
        "hint: delete the schedule: bodywork schedule delete iris\n"
    )
    assert "has not fired yet" in tool("schedule", "logs", "iris").err
    secret = tool("schedule", "https://somebody:very-secret-token@git.example/iris.git", "--cron", "@daily")
    assert secret.code == 2 and "very-secret-token" not in secret.err + secret.out
    elsewhere = tool("schedule", str(project.path), "--target", "kubernetes:nowhere")
    assert elsewhere.code in (2, 4)


def test_help_explains_the_making_and_the_commands(tool: Tool) -> None:
    told = tool.good("schedule", "--help").out
    assert told.startswith("Usage: bodywork schedule [OPTIONS] [REPOSITORY]")
    for word in ("--cron", "--on-push", "--overlap", "run-now", "history", "Example"):
        assert word in told
    assert "make" not in re.findall(r"^  (\w+) ", told, re.M)


def test_a_failed_fetch_is_in_the_history_with_its_sentence(tool: Tool, project: Repository) -> None:
    tool.good("schedule", str(project.path))
    project.path.rename(project.path.with_name("away"))
    tool.good("schedule", "run-now", "iris")
    row = ended(tool)
    assert (row["state"], row["run"]) == ("failed", None) and "there is no folder" in row["reason"]
    assert "there is no folder" in tool.good("schedule", "logs", "iris").out


def test_a_run_outlives_the_agent_that_began_it_and_is_not_begun_again(
    tool: Tool, project: Repository
) -> None:
    project.commit({"train.py": "import time\nprint('begins', flush=True)\ntime.sleep(4)\n"})
    tool.good("schedule", str(project.path))
    tool.good("schedule", "run-now", "iris")
    wait_for(lambda: "begins" in tool("logs", "iris").out, seconds=30)
    agent = tool.good("agent", "status", "-o", "json").json["pid"]
    os.kill(agent, signal.SIGKILL)
    row = ended(tool)
    assert row["state"] == "succeeded" and len(history(tool)) == 1
    assert len(tool.good("runs", "-o", "json").json) == 1


def test_a_killed_run_is_told_as_interrupted_and_its_resumption_too(tool: Tool, project: Repository) -> None:
    project.commit(SLOW)
    tool.good("schedule", str(project.path))
    tool.good("schedule", "run-now", "iris")
    wait_for(lambda: "begins" in tool("logs", "iris").out, seconds=30)
    busy = tool("schedule", "run-now", "iris")
    assert busy.code == 2 and "is in progress" in busy.err
    stopped = tool.good("stop", "iris")
    assert stopped.code == 0
    assert ended(tool)["state"] == "cancelled"


def test_a_push_is_deployed(tool: Tool, project: Repository) -> None:
    made = tool.good("schedule", str(project.path), "--cron", "@yearly", "--on-push", "10", "--ref", "main")
    assert "when its branch has moved, looked at every 10 s" in made.out
    time.sleep(2)
    assert history(tool) == [], "nothing has moved yet"
    project.commit({"train.py": "print('pushed')\n"})
    wait_for(lambda: history(tool), seconds=30, every=0.5)
    assert ended(tool, "succeeded")["cause"] == "push"
    assert "train | pushed" in tool.good("schedule", "logs", "iris").out


def test_a_push_that_cannot_be_fetched_is_tried_again_until_it_is_run(
    tool: Tool, project: Repository
) -> None:
    """Its branch can be looked at, and one of its objects is not there yet."""
    tool.good("schedule", str(project.path), "--cron", "@yearly", "--on-push", "10", "--ref", "main")
    with half_pushed(project, {"train.py": "print('pushed')\n"}) as commit:
        row = ended(tool)
        assert (row["state"], row["cause"], row["run"]) == ("failed", "push", None) and row["reason"]
        said = wait_for(lambda: tool.good("schedule", "show", "iris", "-o", "json").json["trouble"])
        assert said.startswith(f"{commit[:8]} was pushed, and is tried again until a run of it begins: git")

        def tried_again() -> dict[str, Any] | None:
            first, *more = history(tool)  # two lines, while it is tried again
            return first if not more and first["ended"] > row["ended"] else None

        again = wait_for(tried_again, seconds=60, every=0.5)
        assert (again["state"], again["due"]) == ("failed", row["due"]), "one line tells of both"
    assert ended(tool, "succeeded")["cause"] == "push"
    assert "train | pushed" in tool.good("schedule", "logs", "iris").out
    assert [one["state"] for one in history(tool)] == ["succeeded", "failed"]
    assert tool.good("schedule", "show", "iris", "-o", "json").json["trouble"] == ""
    assert len(list((tool.home / "state").rglob("*/[0-9]*.log"))) == 2


@contextmanager
def half_pushed(project: Repository, files: dict[str, str]) -> Iterator[str]:
    """A commit to which `main` has moved, as long as its tree cannot be had."""
    project.git("checkout", "--quiet", "-b", "next")
    commit = project.commit(files)
    tree = project.git("rev-parse", "HEAD^{tree}")
    there = project.path / ".git" / "objects" / tree[:2] / tree[2:]
    there.rename(away := there.with_name("away"))
    project.git("update-ref", "refs/heads/main", commit)
    yield commit
    away.rename(there)


def test_old_runs_go_and_what_was_told_of_them_stays(tool: Tool, project: Repository) -> None:
    tool.good("schedule", str(project.path), "--keep", "2")
    for number in range(1, 5):
        tool.good("schedule", "run-now", "iris")
        wait_for(
            lambda wanted=number: [r["state"] for r in history(tool)] == ["succeeded"] * wanted,
            seconds=60,
            every=0.2,
        )
    kept = wait_for(lambda: runs if len(runs := tool.good("runs", "-o", "json").json) == 2 else None)
    assert [run["run"] for run in kept] == [row["run"] for row in history(tool)[:2]]
    assert len(list((tool.home / "state" / "runs").iterdir())) == 2


def test_a_stopped_agent_is_named_wherever_schedules_are_shown(tool: Tool, project: Repository) -> None:
    tool.good("schedule", str(project.path))
    assert tool.good("agent", "status", "-o", "json").json["schedules"] == 1
    assert "schedules do not fire until: bodywork agent start" in tool.good("agent", "stop").err
    assert "the agent does not run, so that nothing fires" in tool.good("schedule", "list").err
    tool.good("agent", "start")
    time.sleep(7)
    assert tool.good("agent", "status", "-o", "json").json["running"], "it stays for the schedule"
    tool.good("schedule", "pause", "iris")
    wait_for(lambda: not tool.good("agent", "status", "-o", "json").json["running"], seconds=20)


def test_somebody_at_a_terminal_is_asked_before_a_schedule_goes(tool: Tool, project: Repository) -> None:
    tool.good("schedule", str(project.path))
    code, shown = at_a_terminal(tool, "schedule", "delete", "iris", typed="n\n")
    assert code == 2 and "nothing was deleted" in shown
    code, shown = at_a_terminal(tool, "schedule", "delete", "iris", typed="y\n")
    assert code == 0 and "deleted schedule iris" in shown
