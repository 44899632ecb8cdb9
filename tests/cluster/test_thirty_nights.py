"""Thirty nights of a schedule in a real cluster, and all that goes wrong in them.

The clock of a cluster is not ours to tell, so the test does what the cluster's own CronJob controller does at
each time: it makes the Job. All that follows is real: pods, the private repository on an sshd, the S3
server, the service. The nights are the newest thirty that have been, over both changes of the clocks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import s3
import sshd
from bodywork.run.events import StageStarted
from bodywork.schedule import told
from bodywork.schedule.firing import Firing
from bodywork.spec.cron import Cron
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import CRON_JOB, POD
from bodywork.targets.kubernetes.manifests import cron_job
from bodywork.targets.kubernetes.records import firings
from bodywork.targets.kubernetes.records.records import ClusterRecords
from cron import job_of
from machine import stamp
from nightly import Host, hosting, project
from places import Cluster
from tool import Repository, wait_for

LONDON = ZoneInfo("Europe/London")
CRON = "30 1 17-31 3,10 *"
"""Nights around both changes of the clocks, thirty in a year."""

NAME, NIGHTS = "iris", 30
FETCH_FAILS, TRAIN_FAILS, POD_LOST = 4, 9, 14
NO_POWER = (20, 21)
RULE = f'schedule: {{cron: "{CRON}", timezone: Europe/London, keep: 40}}'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd"),
    pytest.mark.skipif(s3.PROGRAM is None, reason="needs versitygw in PATH"),
]


@dataclass
class Nights:
    """A cluster of which the test plays the CronJob controller, and somebody's clone of the repository."""

    cluster: Cluster
    repository: Repository
    host: Host

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def publish(self, path: Path) -> str:
        self.repository.commit(project(NAME, self.host.store, python="3.12", more=RULE))
        self.repository.git("clone", "--quiet", "--bare", str(self.repository.path), str(path))
        self.repository.git("remote", "add", "origin", str(path))
        return self.host.ssh.url(path)

    def push(self, train: str) -> None:
        """A commit in which training does that besides."""
        self.repository.commit(project(NAME, self.host.store, python="3.12", more=RULE, train=train))
        self.repository.git("push", "--quiet", "origin", "main")

    @contextmanager
    def training(self, train: str) -> Iterator[None]:
        self.push(train)
        yield
        self.push("")

    @contextmanager
    def away(self) -> Iterator[None]:
        self.host.ssh.stop()
        yield
        self.host.ssh.start()

    def take_over(self, since: datetime) -> None:
        """The schedule has had its times since then, and the cluster's controller is to make no Job."""
        mark = {cron_job.SINCE: f"{since.timestamp():.3f}"}
        change = {"metadata": {"annotations": mark}, "spec": {"suspend": True}}
        self.cluster.call(lambda api: api.patch(CRON_JOB, NAME, self.namespace, change))
        said = {firings.SINCE: mark[cron_job.SINCE]}
        self.cluster.call(lambda api: firings.say(api, NAME, self.namespace, said))

    def fire(self, due: datetime) -> str:
        """Make the Job of a time; returns its name."""

        async def make(api: Api) -> str:
            owner = await api.get(CRON_JOB, NAME, self.namespace)
            assert owner is not None
            made = await api.create(job_of(owner, due))
            return str(made["metadata"]["name"])

        return self.cluster.call(make)

    def until(self, due: datetime) -> Firing:
        """Have that night, and wait for its end."""
        self.fire(due)
        return self.ended(due)

    def ended(self, due: datetime) -> Firing:
        def row() -> Firing | None:
            found = self.row(due)
            return found if found is not None and found.state.ended else None

        ended: Firing = wait_for(row, seconds=180, every=0.3)
        return ended

    def row(self, due: datetime) -> Firing | None:
        """What its pod has told of it; it is the ConfigMap that is asked, as a command takes a second."""
        known = self.cluster.call(lambda api: firings.read(api, NAME, self.namespace))
        rows = map(told.decode, known.values())
        return next((row for row in rows if row.due == due.timestamp()), None)

    def lose_pod(self, job: str) -> None:
        """The machine on which a firing is carried out is gone, while a stage runs."""
        wait_for(self._training, seconds=60, every=0.3)
        label = {"batch.kubernetes.io/job-name": job}

        async def lose(api: Api) -> None:
            (pod,) = await api.list(POD, self.namespace, labels=label)
            await api.delete(POD, pod["metadata"]["name"], self.namespace, grace=0)

        self.cluster.call(lose)

    def _training(self) -> bool:
        pods = self.cluster.call(lambda api: api.list(POD, self.namespace, labels={labels.STAGE: "train"}))
        return any(pod["status"]["phase"] == "Running" for pod in pods)

    def history(self) -> list[dict[str, Any]]:
        """Oldest first."""
        asked = self.cluster.tool.good("schedule", "history", NAME, "--limit", "100", "-o", "json")
        found: list[dict[str, Any]] = asked.json
        return found[::-1]


@pytest.fixture
def host(tmp_path: Path, reachable: str) -> Iterator[Host]:
    with hosting(tmp_path, reachable) as made:
        yield made


def test_thirty_nights_of_a_cluster(
    cluster: Cluster, repository: Repository, host: Host, tmp_path: Path
) -> None:
    made = Nights(cluster=cluster, repository=repository, host=host)
    url, tool = made.publish(tmp_path / "hosted" / "iris.git"), cluster.tool
    host.keep_secrets(tool)
    tool.good("schedule", url, "--ssh-key-file", str(host.ssh.key))
    nights = newest_nights(datetime.now(UTC) - timedelta(days=1))
    assert nights == counted(nights[0], nights[-1]), "what our own code says is what a calendar does"
    assert both_changes(nights)
    made.take_over(nights[0] - timedelta(minutes=1))

    assert made.until(nights[0]).state == "succeeded"
    with cluster.loaded(f"http://serve.{cluster.namespace}.svc:5000", "/") as load:
        for number in range(1, NIGHTS):
            one_night(made, nights[number], number)
        wait_for(lambda: load.after(0.0) == set(host.models().values()), seconds=30, every=1.0)
        assert not load.failures, "the service always answers"
    check_history(made.history(), nights)
    check_runs(made, nights)


def one_night(made: Nights, due: datetime, number: int) -> None:
    if number == FETCH_FAILS:
        with made.away():
            made.until(due)
    elif number == TRAIN_FAILS:
        with made.training("raise SystemExit('no data tonight')"):
            made.until(due)
    elif number == POD_LOST:
        with made.training("time.sleep(8)"):
            made.lose_pod(made.fire(due))
            made.ended(due)
    elif number not in NO_POWER:
        made.until(due)


def check_history(rows: list[dict[str, Any]], nights: list[datetime]) -> None:
    """A line for each night, and no other."""
    assert [row["due"] for row in rows] == [stamp(due) for due in nights]
    assert {row["cause"] for row in rows} == {"time"}
    expected = {FETCH_FAILS: "failed", TRAIN_FAILS: "failed", **dict.fromkeys(NO_POWER, "missed")}
    states = [row["state"] for row in rows]
    assert states == [expected.get(number, "succeeded") for number in range(NIGHTS)], rows
    assert all(row["reason"] for row in rows if row["state"] != "succeeded"), json.dumps(rows, indent=1)
    assert rows[FETCH_FAILS]["run"] is None and "cannot be reached" in rows[FETCH_FAILS]["reason"]
    assert "train" in rows[TRAIN_FAILS]["reason"]


def check_runs(made: Nights, nights: list[datetime]) -> None:
    """Each night has run once, for its day: by the records, by what was printed, and by the bucket."""
    ran = [n for n in range(NIGHTS) if n != FETCH_FAILS and n not in NO_POWER]
    days = {n: f"{nights[n].astimezone(LONDON):%Y-%m-%d}" for n in ran}
    rows = made.history()
    runs = made.cluster.tool.good("runs", NAME, "--limit", "100", "-o", "json").json
    assert [(run["run"], run["date"]) for run in runs] == [(rows[n]["run"], days[n]) for n in ran[::-1]]
    assert {run["kind"] for run in runs} == {"schedule"}, "more than the newest twenty: it says keep: 40"
    models = days_by_run(made.host)
    for number in ran:
        run = rows[number]["run"]
        begun, printed = made.cluster.call(lambda api, run=run: of_run(api, made.namespace, run))  # type: ignore[misc]
        assert begun["train"] == 1 and printed.count("trains for ") == 1, (rows[number], begun, printed)
        assert f"trains for {days[number]}\n" in printed
        assert models.get(run, []) == ([] if number == TRAIN_FAILS else [days[number]]), (
            rows[number],
            models,
        )
    assert sum(map(len, models.values())) == len(ran) - 1


def days_by_run(host: Host) -> dict[str, list[str]]:
    """For which days each run has put a model into the bucket."""
    found: dict[str, list[str]] = {}
    for key, text in host.models().items():
        run = key.partition("/train/")[0].rpartition("/")[2]
        found.setdefault(run, []).append(text.split()[0])
    return found


async def of_run(api: Api, namespace: str, run: str) -> tuple[Counter[str], str]:
    """In how many pods each stage has run, and what training has printed."""
    records = ClusterRecords(api, "kubernetes", namespace=namespace)
    events = await records.events(run)
    pods = {(event.stage, event.handle) for event in events if isinstance(event, StageStarted)}
    return Counter(stage for stage, _ in pods), (await records.kept_log(run, "train") or b"").decode()


def newest_nights(before: datetime) -> list[datetime]:
    """By our own code."""
    year = timedelta(days=380)
    times = Cron.parse(CRON).after(before - year, LONDON)
    return list(takewhile(lambda due: due <= before, times))[-NIGHTS:]


def counted(first: datetime, last: datetime) -> list[datetime]:
    """All half hours between, those included, at which clocks in London show the time and the day."""
    moments = (
        first + timedelta(minutes=30 * n) for n in range(int((last - first).total_seconds()) // 1800 + 1)
    )
    return [at for at in moments if _told_by_a_clock(at.astimezone(LONDON))]


def _told_by_a_clock(here: datetime) -> bool:
    return (here.hour, here.minute) == (1, 30) and here.day >= 17 and here.month in (3, 10)


def both_changes(nights: list[datetime]) -> bool:
    """Whether they hold a day with the time twice, and leave out one without it."""
    days = Counter(due.astimezone(LONDON).date() for due in nights)
    gone = [day for day in days if day + timedelta(days=1) not in days and day + timedelta(days=2) in days]
    return max(days.values()) == 2 and bool(gone)
