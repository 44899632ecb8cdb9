"""Thirty nights of examples/train-and-serve, and all that goes wrong in them: each is accounted for, none
runs twice.

Real are the private repository on an sshd, the S3 server, the packages, the agent, its processes and the
service, which is asked for predictions all the time; only the clock is the test's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import s3
import sshd
from bodywork.schedule.firing import State
from bodywork.spec.cron import Cron
from load import Load, loaded
from machine import Machine, stamp
from tool import Repository, Tool, wait_for
from values import found, in_files, watched_processes

LONDON = ZoneInfo("Europe/London")
CRON = "30 1 21-31 3,10 *"
"""Nights around both changes of the clocks: one day has no 01:30, and another has it twice."""

NIGHTS = 30
FETCH_FAILS, TRAIN_FAILS, POWER_CUT, POWER_BACK = 4, 9, 11, 19
STORE_SECRET = "of+the/store, 40 characters = not less"
NAME = "train-and-serve"
RULE = f'schedule: {{cron: "{CRON}", timezone: Europe/London}}'
TODAY = "2026-11-01T12:00:00+00:00"
"""When the project was committed: its packages are those of that day."""

WINE = {"alcohol": 13.9, "proline": 1200}
ASKED = 2.0
"""Predictions a second, of each client: two of them are to leave a small machine to the training."""

PREPARED = "124 wines to learn from"
PRINTED = ("trained logistic on 124", "trained forest on 124", "chosen: ")
"""What stages of a good night print when they have done their part."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd"),
    pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH"),
]


@dataclass
class Host:
    """Where the private repository and the bucket are. `project` is somebody's clone of the repository."""

    ssh: sshd.SshServer
    bucket: s3.Server
    project: Repository
    loads: list[Load] = field(default_factory=list)

    @property
    def secrets(self) -> list[str]:
        return [self.ssh.key.read_text(), STORE_SECRET]

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """Each answer that was seen, once."""
        return [json.loads(body) for body in sorted({body for load in self.loads for body in load.seen()})]

    @contextmanager
    def asked(self, machine: Machine) -> Iterator[None]:
        """Clients ask the service for predictions all the time."""
        (service,) = machine.tool.good("status", NAME, "-o", "json").json["services"]
        with loaded(service["url"], "/predict", WINE, ASKED) as load:
            self.loads.append(load)
            yield

    def answered(self, machine: Machine) -> None:
        """Wait until the model of the last good night has."""
        last = [row["run"] for row in machine.history() if row["state"] == "succeeded"][-1]
        wait_for(lambda: any(last in body for body in self.loads[-1].seen()))

    @contextmanager
    def bad_data(self) -> Iterator[None]:
        """Somebody pushes a commit with which no model learns anything, and takes it back later."""
        prepare = "pipeline/prepare.py"
        good = (self.project.path / prepare).read_text()
        bad = good.replace("[*values, cultivar]", '["n/a", *values[1:], cultivar]')
        assert bad != good
        self.push({prepare: bad})
        yield
        self.push({prepare: good})

    def push(self, files: dict[str, str]) -> None:
        self.project.commit(files, date=TODAY)
        self.project.git("push", "--quiet", "origin", "main")

    @contextmanager
    def away(self) -> Iterator[None]:
        self.ssh.stop()
        yield
        self.ssh.start()


@pytest.fixture
def host(tmp_path: Path, example: Callable[..., Repository]) -> Iterator[Host]:
    (tmp_path / "s3").mkdir()
    with (
        sshd.running(tmp_path / "sshd") as ssh,
        s3.server(tmp_path / "s3", "models", secret=STORE_SECRET) as bucket,
    ):
        ssh.trust()
        yield Host(ssh=ssh, bucket=bucket, project=example(NAME, date=TODAY))


def test_thirty_nights(tool: Tool, host: Host, tmp_path: Path) -> None:
    url = publish(host, tmp_path / "hosted" / "wines.git")
    keep_secrets(tool, host)
    machine = Machine(tool=tool, clock=tmp_path / "clock" / "now", schedule=NAME)
    began = datetime.now(UTC)
    machine.at(began.timestamp())
    nights = list(islice(Cron.parse(CRON).after(began, LONDON), NIGHTS))
    assert both_changes(nights)

    with watched_processes() as seen:
        made = tool.good("schedule", url, "--git-secret", "deploy-key")
        tool.good("agent", "stop")  # which has the real clock; without a schedule ours would not stay
        machine.start()
        run_nights(machine, host, nights)

    assert "next times" in made.out
    rows = machine.history()
    check_history(rows, nights)
    check_runs(tool, rows, nights)
    check_printed(tool, rows)
    check_models(rows, host)
    assert not [failure for load in host.loads for failure in load.failures], "the service always answers"
    assert not found(host.secrets, b"\n".join(seen))
    kept = tool.home / "state" / "secrets"
    assert len({Path(line.partition(": ")[0]) for line in in_files(host.secrets, kept)}) == 2
    assert not in_files(host.secrets, tool.home, but=kept), "in those files alone"


def publish(host: Host, path: Path) -> str:
    """The example, with a store and times of its own, on the private host.

    A second replica would show nothing more here, and costs each night what a training does.
    """
    project = host.project
    store = f"store: s3://models/wines?endpoint={host.bucket.endpoint}"
    text = (project.path / "bodywork.yaml").read_text()
    project.git("clone", "--quiet", "--bare", str(project.path), str(path))
    project.git("remote", "add", "origin", str(path))
    text = text.replace("workflow:", f"{RULE}\n{store}\nworkflow:", 1).replace("replicas: 2", "replicas: 1")
    host.push({"bodywork.yaml": text})
    return host.ssh.url(path)


def keep_secrets(tool: Tool, host: Host) -> None:
    """ssh itself knows the host, and has no key."""
    tool.extra["GIT_SSH_COMMAND"] = host.ssh.configure(key=host.ssh.folder / "none")
    tool.good("secret", "set", "deploy-key", "SSH_PRIVATE_KEY", "--from-file", str(host.ssh.key))
    for key, value in (("AWS_ACCESS_KEY_ID", s3.KEY), ("AWS_SECRET_ACCESS_KEY", STORE_SECRET)):
        assert tool.told("secret", "set", "bodywork-store", key, text=value).code == 0


def run_nights(machine: Machine, host: Host, nights: list[datetime]) -> None:
    """All nights, one after the other."""
    machine.until(nights[0])
    with host.asked(machine):
        for number in range(1, POWER_CUT):
            one_night(machine, host, nights, number)
        host.answered(machine)
        run = machine.until(nights[POWER_CUT], running=True).run
        wait_for(lambda: PREPARED in printed(machine.tool, run), seconds=60)
    machine.cut_power()
    machine.at(nights[POWER_BACK].timestamp() + 3600)
    machine.start()
    late = machine.until(nights[POWER_BACK])
    assert late.state is State.SUCCEEDED and late.reason == "3600 s late"
    wait_for(lambda: machine.tool.good("status", NAME, "-o", "json").json["services"][0]["ready"])
    with host.asked(machine):
        for number in range(POWER_BACK + 1, NIGHTS):
            one_night(machine, host, nights, number)
        host.answered(machine)


def one_night(machine: Machine, host: Host, nights: list[datetime], number: int) -> None:
    if number == FETCH_FAILS:
        with host.away():
            machine.until(nights[number])
    elif number == TRAIN_FAILS:
        with host.bad_data():
            machine.until(nights[number])
    else:
        machine.until(nights[number])


def printed(tool: Tool, run: str) -> str:
    """All that the batch stages of a run have printed, in every attempt."""
    logs = (tool.home / "state" / "runs" / run / "logs").glob("*.log")
    return "".join(log.read_text() for log in sorted(logs))


def check_history(rows: list[dict[str, Any]], nights: list[datetime]) -> None:
    """A line for each night, and no other."""
    assert [row["due"] for row in rows] == [stamp(due) for due in nights]
    expected = {FETCH_FAILS: "failed", TRAIN_FAILS: "failed", POWER_CUT: "interrupted"}
    expected |= dict.fromkeys(range(POWER_CUT + 1, POWER_BACK), "missed")
    assert [row["state"] for row in rows] == [expected.get(number, "succeeded") for number in range(NIGHTS)]
    assert all(row["reason"] for row in rows if row["state"] != "succeeded"), json.dumps(rows, indent=1)
    assert rows[FETCH_FAILS]["run"] is None
    assert "cannot be reached: ssh: " in rows[FETCH_FAILS]["reason"]
    assert "train" in rows[TRAIN_FAILS]["reason"]


def check_runs(tool: Tool, rows: list[dict[str, Any]], nights: list[datetime]) -> None:
    """Each night has run once, for its day, and no other run is there."""
    ran = [n for n in range(NIGHTS) if n != FETCH_FAILS and n not in range(POWER_CUT + 1, POWER_BACK)]
    assert [n for n in range(NIGHTS) if rows[n]["run"]] == ran
    runs = {run["run"]: run for run in tool.good("runs", NAME, "--limit", "100", "-o", "json").json}
    assert sorted(runs) == sorted(rows[n]["run"] for n in ran)
    assert {run["kind"] for run in runs.values()} == {"schedule"}
    days = [runs[rows[n]["run"]]["date"] for n in ran]
    assert days == [f"{nights[n].astimezone(LONDON):%Y-%m-%d}" for n in ran]


def check_printed(tool: Tool, rows: list[dict[str, Any]]) -> None:
    """No stage has run twice: by what it prints."""
    for number, row in enumerate(rows):
        text = printed(tool, row["run"]) if row["run"] else ""
        told = [text.count(line) for line in (PREPARED, *PRINTED)]
        if row["state"] == "succeeded":
            assert told == [1, 1, 1, 1], (row, text)
        elif number == TRAIN_FAILS:
            assert told == [1, 0, 0, 0] and "could not convert string to float: 'n/a'" in text
        elif number == POWER_CUT:
            assert told[0] == 1 and max(told) == 1 and told[-1] == 0, text
        else:
            assert not text


def check_models(rows: list[dict[str, Any]], host: Host) -> None:
    """Of each good night the bucket has two models, and one has served until there was the next."""
    good = [row["run"] for row in rows if row["state"] == "succeeded"]
    kept = list(host.bucket.contents("models").values())
    assert [sum(run.encode() in data for data in kept) for run in good] == [2] * len(good)
    (failed,) = (row["run"] for row in rows if row["state"] == "failed" and row["run"])
    assert not [data for data in kept if failed.encode() in data]
    predictions = host.predictions
    assert sorted(one["run"] for one in predictions) == good
    assert {one["cultivar"] for one in predictions} == {0}


def both_changes(nights: list[datetime]) -> bool:
    """Whether they hold a day with the time twice, and leave out one without it."""
    days = [due.astimezone(LONDON).date() for due in nights]
    twice = any(one == other for one, other in pairwise(days))
    gaps = [(b - a).days for a, b in pairwise(days)]
    return twice and 2 in gaps
