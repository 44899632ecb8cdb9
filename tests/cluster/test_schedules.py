"""A schedule in a real cluster: a CronJob that fetches a private repository when it is asked, and runs it.

What it does at its times is in test_nightly.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import sshd
from bodywork.targets.kubernetes.batch.jobs import complete
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, CRON_JOB, JOB, POD, SECRET
from bodywork.targets.kubernetes.manifests import cron_job
from cron import job_of
from ground import SERVER, Ground
from hooked import Chat, chat
from tool import Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ONE = "stages:\n  train: {run: train.py}\n"
TRAIN = 'import os\nprint("trained for", os.environ["BODYWORK_DATE"], "%s")\n'
TWO = """workflow: train >> serve
stages:
  train: {run: train.py, outputs: {model: model.txt}}
  serve: {run: serve.py, inputs: {model: train.model}, service: {port: 5000}}
"""
MODEL = """
import os, pathlib, time
pathlib.Path(os.environ["BODYWORK_OUTPUT_MODEL"]).write_text(str(time.time()))
"""
SLOW = "import time\nprint('begins', '%s', flush=True)\ntime.sleep(25)\n"


@pytest.fixture
def tool(trusting: Tool) -> Tool:
    return trusting


@pytest.fixture
def there(reachable: str) -> Iterator[Chat]:
    with chat(address=reachable) as made:
        yield made


def publish(
    ground: Ground,
    word: str,
    module: str = TRAIN,
    *,
    yaml: str = ONE,
    modules: Mapping[str, str] | None = None,
    half: bool = False,
) -> Path:
    """A commit that prints a word, in what the server gives out."""
    ground.commit(yaml, modules or {"train.py": module % word})
    return hosted(ground, half=half)


def hosted(ground: Ground, *, half: bool = False) -> Path:
    """What the server gives out, as it is now; `half`: but for the tree of the newest commit."""
    place = ground.folder / "host" / "iris.git"
    place.parent.mkdir(exist_ok=True)
    fresh = place.with_name("fresh")
    subprocess.run(["git", "clone", "-q", "--bare", str(ground.repository.path), str(fresh)], check=True)
    if half:
        tree = ground.repository.git("rev-parse", "HEAD^{tree}")
        (fresh / "objects" / tree[:2] / tree[2:]).unlink()
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
    return place


def history(tool: Tool, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tool.good("schedule", "history", name, "-o", "json").json
    return found


def ended(tool: Tool, name: str, count: int, *, seconds: float = 180) -> dict[str, Any]:
    """The newest of `count` firings, when it has ended."""

    def newest() -> dict[str, Any] | None:
        rows = history(tool, name)
        done = len(rows) >= count and rows[0]["state"] not in ("waiting", "running")
        return rows[0] if done else None

    found: dict[str, Any] = wait_for(newest, seconds=seconds, every=1.0)
    return found


def test_a_private_repository_is_run_at_its_times(
    ground: Ground, server: sshd.SshServer, tool: Tool, there: Chat
) -> None:
    """Webhooks are told of a time at which no run could begin, and of the next one that went well."""
    yaml = f"notify: {{webhook: '{there.url}', form: json}}\n{ONE}"
    place = publish(ground, "first", yaml=yaml)
    url, name = server.url(place), ground.name
    refused = tool("schedule", url, "--cron", "@yearly")
    assert refused.code != 0
    made = tool.good("schedule", url, "--cron", "@yearly", "--ssh-key-file", str(server.key))
    assert f"schedule {name} is made" in made.out and "next times" in made.out

    publish(ground, "second", yaml=yaml)
    tool.good("schedule", "run-now", name)
    followed = tool.good("schedule", "logs", name, "--follow", timeout=240)
    assert "second" in followed.out and "trained for 20" in followed.out, "the commit of that moment"
    row = ended(tool, name, 1)
    assert (row["state"], row["cause"]) == ("succeeded", "asked"), row
    (run,) = tool.good("runs", name, "-o", "json").json
    assert (run["run"], run["kind"]) == (row["run"], "schedule") and run["date"]
    assert stages_saw_no_key(ground)

    shutil.rmtree(place)
    tool.good("schedule", "run-now", name)
    row = ended(tool, name, 2)
    assert row["state"] == "failed" and row["run"] is None and row["reason"], row

    publish(ground, "third", yaml=yaml)
    tool.good("schedule", "run-now", name)
    row = ended(tool, name, 3)
    assert row["state"] == "succeeded", row
    wait_for(lambda: len(there.got) >= 3, seconds=30)  # it is told when the run is over
    assert [(one["notice"], bool(one["run"])) for one in there.got] == [
        ("first-success", True),
        ("failed", False),
        ("recovered", True),
    ]

    deleted = tool.good("schedule", "delete", name, "--yes")
    assert f"deleted schedule {name}" in deleted.out
    assert not ground.all(CRON_JOB)
    assert not [one for one in (*ground.all(CONFIG_MAP), *ground.all(SECRET)) if is_of_schedule(one)]


def test_a_run_goes_on_when_the_pod_that_carries_it_out_is_lost(
    ground: Ground, server: sshd.SshServer, tool: Tool
) -> None:
    url, name = server.url(publish(ground, "long", SLOW)), ground.name
    tool.good("schedule", url, "--cron", "@yearly", "--ssh-key-file", str(server.key))
    tool.good("schedule", "run-now", name)
    wait_for(lambda: "begins" in tool("logs", name).out, seconds=120, every=1.0)
    busy = tool("schedule", "run-now", name)
    assert busy.code == 2 and "is in progress" in busy.err
    (pod,) = ground.all(POD, **{"bodywork/kind": "schedule"})
    ground.ask(lambda api: api.delete(POD, pod["metadata"]["name"], ground.name, grace=0))
    row = ended(tool, name, 1)
    assert row["state"] == "succeeded", row
    (run,) = tool.good("runs", name, "-o", "json").json
    assert run["run"] == row["run"] and run["state"] == "succeeded"
    (train,) = tool.good("status", name, "-o", "json").json["stages"]
    assert train["attempts"] == 1, "the stage went on all the while"


def test_a_model_is_trained_and_served_from_inside_the_cluster(
    ground: Ground, server: sshd.SshServer, tool: Tool
) -> None:
    """The store is started as well, with no more rights than the account of the schedule has."""
    modules = {"train.py": MODEL, "serve.py": SERVER}
    url, name = server.url(publish(ground, "model", yaml=TWO, modules=modules)), ground.name
    tool.good("schedule", url, "--cron", "@yearly", "--ssh-key-file", str(server.key))
    tool.good("schedule", "run-now", name)
    row = ended(tool, name, 1, seconds=240)
    assert row["state"] == "succeeded", row
    (service,) = tool.good("status", name, "-o", "json").json["services"]
    assert (service["ready"], service["release"]) == (1, row["run"])


def test_a_push_is_deployed_once(ground: Ground, server: sshd.SshServer, tool: Tool) -> None:
    """A branch that cannot be looked at is told; one that has moved is run, as soon as it can be fetched;
    then nothing is, for a look.
    """
    place = publish(ground, "before")
    url, name, key = server.url(place), ground.name, ("--ssh-key-file", str(server.key))
    made = tool.good("schedule", url, "--on-push", "30", "--keep", "1", *key)
    assert "looked at every minute" in made.out
    (cron_job,) = ground.all(CRON_JOB)
    assert (cron_job["metadata"]["name"], cron_job["spec"]["schedule"]) == (f"{name}-push", "*/1 * * * *")
    shutil.rmtree(place)
    wait_for(lambda: shown(tool, name)["trouble"], seconds=150, every=1.0)
    assert history(tool, name) == [], "what was there before is not run"

    publish(ground, "pushed")
    row = ended(tool, name, 1, seconds=240)
    assert (row["state"], row["cause"]) == ("succeeded", "push"), row
    assert "pushed" in tool.good("schedule", "logs", name).out

    publish(ground, "pushed again", half=True)
    row = ended(tool, name, 2, seconds=240)
    assert (row["state"], row["cause"], row["run"]) == ("failed", "push", None), row
    assert "is tried again until a run of it begins: git fetch failed" in shown(tool, name)["trouble"]
    hosted(ground)
    row = ended(tool, name, 3, seconds=240)
    assert (row["state"], row["cause"]) == ("succeeded", "push"), row
    assert "pushed again" in tool.good("schedule", "logs", name).out
    wait_for(lambda: shown(tool, name)["looked"] > later(row["ended"], 30), seconds=150, every=1.0)
    assert shown(tool, name)["trouble"] == ""
    assert [one["state"] for one in history(tool, name)] == ["succeeded", "failed", "succeeded"], (
        "each push once, with the trouble that there was, and no line for a look that found nothing"
    )
    (run,) = tool.good("runs", name, "-o", "json").json
    assert run["run"] == row["run"], "the other one is more than it keeps"
    assert len(ground.all(JOB, **{"bodywork/kind": "push"})) <= 1

    both = tool.good("schedule", url, "--cron", "@yearly", "--on-push", "150", "--keep", "1", *key)
    assert "on-push: 60 -> 180" in both.out and "ssh-key" not in both.out
    assert len(ground.all(CRON_JOB)) == 2
    tool.good("schedule", url, "--cron", "@yearly", "--keep", "1", *key)
    (cron_job,) = ground.all(CRON_JOB)
    assert cron_job["metadata"]["name"] == name
    tool.good("schedule", "delete", name, "--yes")
    assert not ground.all(CRON_JOB)


def later(time: str, seconds: int) -> str:
    moment = datetime.fromisoformat(time) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def shown(tool: Tool, name: str) -> dict[str, Any]:
    found: dict[str, Any] = tool.good("schedule", "show", name, "-o", "json").json
    return found


def test_what_a_cluster_cannot_fetch_or_do_is_refused(ground: Ground, tool: Tool) -> None:
    ground.commit(ONE, {"train.py": TRAIN % "here"})
    here = tool("schedule", str(ground.repository.path), "--cron", "@daily")
    assert here.code == 2 and "is on this machine" in here.err and "by a URL" in here.err
    assert not ground.all(CRON_JOB)


def stages_saw_no_key(ground: Ground) -> bool:
    """Of all pods, only those of the schedule mount its Secret."""
    pods = ground.all(POD)
    having = {
        pod["metadata"]["labels"].get("bodywork/kind")
        for pod in pods
        for volume in pod["spec"]["volumes"]
        if volume.get("secret", {}).get("secretName", "").startswith("schedule-")
    }
    return having == {"schedule"}


def test_a_time_of_before_it_was_the_schedules_or_while_it_was_paused_does_not_fire(
    ground: Ground, server: sshd.SshServer, tool: Tool
) -> None:
    """Kubernetes makes the Job of such a time: it takes it for one that it has missed."""
    url, name = server.url(publish(ground, "never")), ground.name
    tool.good("schedule", url, "--cron", "0 5 * * *", "--ssh-key-file", str(server.key))
    now = datetime.now(UTC)
    due = now.replace(hour=5, minute=0, second=0, microsecond=0)
    due -= timedelta(days=2 if due > now else 1)
    fire(ground, due)
    assert history(tool, name) == []

    mark = {"metadata": {"annotations": {cron_job.PAUSED: f"{(due - timedelta(hours=1)).timestamp():.3f}"}}}
    ground.ask(lambda api: api.patch(CRON_JOB, name, name, mark))
    tool.good("schedule", "resume", name)
    paused = history(tool, name)
    assert datetime.fromisoformat(paused[-1]["due"]) == due
    assert {(row["state"], row["reason"]) for row in paused} == {("missed", "the schedule was paused")}
    fire(ground, due)
    assert history(tool, name) == paused
    assert tool("runs", name).code != 0, "there is none"


def fire(ground: Ground, due: datetime) -> None:
    """As a cluster does at that time; returns when its pod has done what there was to do."""
    (owner,) = ground.all(CRON_JOB)
    job = ground.ask(lambda api: api.create(job_of(owner, due)))["metadata"]["name"]
    wait_for(lambda: [one for one in ground.all(JOB) if complete(one)], seconds=90, every=0.5)
    ground.ask(lambda api: api.delete(JOB, job, ground.name))
    ground.gone(lambda: ground.all(JOB))


def is_of_schedule(one: dict[str, Any]) -> bool:
    return str(one["metadata"]["name"]).startswith("schedule-")
