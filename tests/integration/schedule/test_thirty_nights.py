"""Thirty nights of a schedule, and all that goes wrong in them: each is accounted for, none runs twice.

Real are the private repository on an sshd, the S3 server, the agent, its processes and the service; only
the clock is the test's own. The project (`nightly`) stands for examples/train-and-serve.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
from nightly import project
from tool import Repository, Tool, wait_for
from values import found, in_files, watched_processes

LONDON = ZoneInfo("Europe/London")
CRON = "30 1 21-31 3,10 *"
"""Nights around both changes of the clocks: one day has no 01:30, and another has it twice."""

NIGHTS = 30
FETCH_FAILS, TRAIN_FAILS, POWER_CUT, POWER_BACK = 4, 9, 14, 17
STORE_SECRET = "of+the/store, 40 characters = not less"
RULE = f'schedule: {{cron: "{CRON}", timezone: Europe/London}}'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd"),
    pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH"),
]


@dataclass
class Host:
    """Where the private repository and the bucket are, and what the stages tell of themselves."""

    ssh: sshd.SshServer
    bucket: s3.Server
    place: Path
    loads: list[Load] = field(default_factory=list)

    @property
    def trained(self) -> list[str]:
        """The day of each time that the stage has run."""
        with suppress(FileNotFoundError):
            return (self.place / "trained").read_text().split()
        return []

    @property
    def models(self) -> list[str]:
        return sorted(self.bucket.objects("models").values())

    @property
    def secrets(self) -> list[str]:
        return [self.ssh.key.read_text(), STORE_SECRET]

    @contextmanager
    def asked(self, machine: Machine) -> Iterator[None]:
        """Clients ask the service all the time."""
        (service,) = machine.tool.good("status", "iris", "-o", "json").json["services"]
        with loaded(service["url"]) as load:
            self.loads.append(load)
            yield

    @contextmanager
    def marked(self, name: str) -> Iterator[None]:
        mark = self.place / name
        mark.touch()
        yield
        mark.unlink()

    @contextmanager
    def away(self) -> Iterator[None]:
        self.ssh.stop()
        yield
        self.ssh.start()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    for name in ("s3", "place"):
        (tmp_path / name).mkdir()
    with (
        sshd.running(tmp_path / "sshd") as ssh,
        s3.server(tmp_path / "s3", "models", secret=STORE_SECRET) as bucket,
    ):
        ssh.trust()
        yield Host(ssh=ssh, bucket=bucket, place=tmp_path / "place")


def test_thirty_nights(tool: Tool, repository: Repository, host: Host, tmp_path: Path) -> None:
    url = publish(repository, host, tmp_path / "hosted" / "iris.git")
    keep_secrets(tool, host)
    machine = Machine(tool=tool, clock=tmp_path / "clock" / "now", schedule="iris")
    began = datetime.now(UTC)
    machine.at(began.timestamp())
    machine.start()
    nights = list(islice(Cron.parse(CRON).after(began, LONDON), NIGHTS))
    assert both_changes(nights)

    with watched_processes() as seen:
        made = tool.good("schedule", url, "--git-secret", "deploy-key")
        run_nights(machine, host, nights)

    assert "next times" in made.out
    check_history(machine.history(), nights)
    check_runs(tool, machine.history(), host, nights)
    assert not [failure for load in host.loads for failure in load.failures], "the service always answers"
    bodies = {body for load in host.loads for body in load.seen()}
    assert sorted(bodies) == host.models, "with the model of each good night, until there is a new one"
    assert not found(host.secrets, b"\n".join(seen))
    kept = tool.home / "state" / "secrets"
    assert len({Path(line.partition(": ")[0]) for line in in_files(host.secrets, kept)}) == 2
    assert not in_files(host.secrets, tool.home, but=kept), "in those files alone"


def publish(repository: Repository, host: Host, path: Path) -> str:
    store = f"s3://models/iris?endpoint={host.bucket.endpoint}"
    repository.commit(project("iris", store, more=RULE, place=str(host.place)))
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(path))
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
        (host.place / "hang").touch()
        machine.until(nights[POWER_CUT], running=True)
        wait_for(lambda: len(host.trained) == POWER_CUT)
    machine.cut_power()
    (host.place / "hang").unlink()
    machine.at(nights[POWER_BACK].timestamp() + 3600)
    machine.start()
    late = machine.until(nights[POWER_BACK])
    assert late.state is State.SUCCEEDED and late.reason == "3600 s late"
    wait_for(lambda: machine.tool.good("status", "iris", "-o", "json").json["services"][0]["ready"])
    with host.asked(machine):
        for number in range(POWER_BACK + 1, NIGHTS):
            one_night(machine, host, nights, number)


def one_night(machine: Machine, host: Host, nights: list[datetime], number: int) -> None:
    if number == FETCH_FAILS:
        with host.away():
            machine.until(nights[number])
    elif number == TRAIN_FAILS:
        with host.marked("fail"):
            machine.until(nights[number])
    else:
        machine.until(nights[number])


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


def check_runs(tool: Tool, rows: list[dict[str, Any]], host: Host, nights: list[datetime]) -> None:
    """Each night has run once, in order: by what the stage tells, the records, and the bucket."""
    ran = [n for n in range(NIGHTS) if n != FETCH_FAILS and n not in range(POWER_CUT + 1, POWER_BACK)]
    assert host.trained == [f"{nights[n].astimezone(LONDON):%Y-%m-%d}" for n in ran]
    runs = tool.good("runs", "iris", "--limit", "100", "-o", "json").json
    assert sorted(run["run"] for run in runs) == sorted(row["run"] for row in rows if row["run"])
    assert {run["kind"] for run in runs} == {"schedule"}
    good = [n for n in ran if n not in (TRAIN_FAILS, POWER_CUT)]
    days = sorted(f"{nights[n].astimezone(LONDON):%Y-%m-%d}" for n in good)
    assert [model.split()[0] for model in host.models] == days


def both_changes(nights: list[datetime]) -> bool:
    """Whether they hold a day with the time twice, and leave out one without it."""
    days = [due.astimezone(LONDON).date() for due in nights]
    twice = any(one == other for one, other in pairwise(days))
    gaps = [(b - a).days for a, b in pairwise(days)]
    return twice and 2 in gaps
