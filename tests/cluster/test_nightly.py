"""A schedule in a real cluster, left alone: a private repository, a bucket, a service that always answers.

The clock of a cluster is real: its nights are minutes. The project (`nightly`) stands for
examples/train-and-serve.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import s3
import sshd
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import CRON_JOB, SECRET
from contents import contents, expanded, printed
from nightly import Host, hosting, project
from places import Cluster, Seen
from tool import Repository, Tool, wait_for
from values import found, in_files, watched_processes

RULE = 'schedule: {cron: "* * * * *", timezone: Europe/London}'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd"),
    pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH"),
]


@pytest.fixture
def host(tmp_path: Path, reachable: str) -> Iterator[Host]:
    with hosting(tmp_path, reachable) as made:
        yield made


def test_nights_of_a_cluster(cluster: Cluster, repository: Repository, host: Host, tmp_path: Path) -> None:
    tool = cluster.tool
    url = publish(repository, host, tmp_path / "hosted" / "iris.git")
    host.keep_secrets(tool)
    with watched_processes() as seen:
        tool.good("schedule", url, "--ssh-key-file", str(host.ssh.key))
        until(tool, "succeeded")
        with cluster.loaded(f"http://serve.{cluster.namespace}.svc:5000", "/") as load:
            host.ssh.stop()
            until(tool, "failed")
            host.ssh.start()
            until(tool, "succeeded", after="failed")
            tool.good("schedule", "pause", "iris")
            rows = at_rest(tool)
            check_answers(load, host)
    check_history(rows)
    check_runs(tool, rows, host)
    shown = expanded(everything(cluster)) + cluster.call(lambda api: printed(api, cluster.namespace))
    assert b"CronJob" in shown and b"StagePreparing" in shown
    kept = cluster.call(lambda api: api.list(SECRET, cluster.namespace))
    assert found(host.secrets[:1], expanded(kept)) and found(host.secrets[1:], expanded(kept))
    assert not found(host.secrets, shown), "in Secrets alone"
    assert not found(host.secrets, b"\n".join(seen)), "nor in lists of processes, those of pods included"
    assert not in_files(host.secrets, tool.home, but=tool.home / "state" / "secrets")
    check_changes(cluster, url, host)


def publish(repository: Repository, host: Host, path: Path) -> str:
    repository.commit(project("iris", host.store, python="3.12", more=RULE))
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(path))
    return host.ssh.url(path)


def history(tool: Tool) -> list[dict[str, Any]]:
    """Oldest first."""
    rows: list[dict[str, Any]] = tool.good("schedule", "history", "iris", "-o", "json").json
    return rows[::-1]


def until(tool: Tool, state: str, *, after: str = "") -> None:
    """Wait for a time that ends so, after one that has ended in another way."""

    def ended() -> bool:
        states = [row["state"] for row in history(tool)]
        return state in (states[states.index(after) :] if after else states)

    wait_for(ended, seconds=200, every=1.0)


def at_rest(tool: Tool) -> list[dict[str, Any]]:
    """The history, when nothing of it goes on."""

    def ended() -> list[dict[str, Any]] | None:
        rows = history(tool)
        return rows if not [row for row in rows if row["state"] in ("waiting", "running")] else None

    found: list[dict[str, Any]] = wait_for(ended, seconds=120, every=1.0)
    return found


def check_history(rows: list[dict[str, Any]]) -> None:
    """Each minute is accounted for, and one of them had no repository."""
    due = [datetime.fromisoformat(row["due"]) for row in rows]
    assert due == [due[0] + timedelta(minutes=n) for n in range(len(rows))], rows
    assert {row["cause"] for row in rows} == {"time"}
    states = [row["state"] for row in rows]
    assert states.count("failed") == 1 and states[0] == states[-1] == "succeeded", rows
    assert set(states) <= {"succeeded", "failed", "skipped"}, "a slow machine may need more than a minute"
    (failed,) = [row for row in rows if row["state"] == "failed"]
    assert failed["run"] is None and "cannot be reached" in failed["reason"], failed


def check_runs(tool: Tool, rows: list[dict[str, Any]], host: Host) -> None:
    """None has run twice: by the records, and by what the bucket holds of each run."""
    runs = tool.good("runs", "iris", "-o", "json").json
    assert sorted(run["run"] for run in runs) == sorted(row["run"] for row in rows if row["run"])
    assert {(run["kind"], run["state"]) for run in runs} == {("schedule", "succeeded")}
    assert all(row["run"].startswith(row["due"][:10].replace("-", "")) for row in rows if row["run"])
    models = host.models()
    assert len(models) == len(runs)
    assert all(sum(run["run"] in key for key in models) == 1 for run in runs), models


def check_answers(load: Seen, host: Host) -> None:
    models = set(host.models().values())
    wait_for(lambda: load.after(0.0) == models, seconds=30, every=1.0)
    assert not load.failures, "the service always answers"


def everything(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.call(lambda _: contents(os.environ, cluster.namespace))


def check_changes(cluster: Cluster, url: str, host: Host) -> None:
    """It rests, gets other times, and goes with its pipeline."""
    tool = cluster.tool
    (kept,) = tool.good("schedule", "list", "-o", "json").json
    assert kept["paused"] and kept["next"] == [] and kept["target"] == "kubernetes"
    (cron_job,) = cluster.call(lambda api: api.list(CRON_JOB, cluster.namespace))
    assert cron_job["spec"]["suspend"] is True and cron_job["spec"]["timeZone"] == "Europe/London"
    changed = tool.good("schedule", url, "--cron", "@daily", "--ssh-key-file", str(host.ssh.key))
    assert "cron: * * * * * -> @daily" in changed.out
    tool.good("schedule", "resume", "iris")
    assert all(row["state"] != "missed" or row["reason"] for row in history(tool))
    tool.good("delete", "iris", "--yes")
    wait_for(lambda: not ours(cluster), seconds=60, every=1.0)


def ours(cluster: Cluster) -> list[str]:
    """What bodywork has made and is not on its way out."""
    mark = {labels.MANAGED_BY: labels.MANAGER}.items()
    objects = (one for one in everything(cluster) if mark <= (one["metadata"].get("labels") or {}).items())
    return [
        f"{one['kind']} {one['metadata']['name']}"
        for one in objects
        if "deletionTimestamp" not in one["metadata"]
    ]
