"""How many runs of a schedule a real cluster keeps: as many as it says, also more than of other runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bodywork.run.events import RunEnded
from bodywork.run.ledger import RunRecord
from bodywork.run.states import RunState
from bodywork.schedule import told
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.spec.model import Project
from bodywork.spec.read import read
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.records import firings
from bodywork.targets.kubernetes.records.records import ClusterRecords
from ground import HEAD, Ground
from workflows import batch, plan, run_record

pytestmark = [pytest.mark.cluster]

ONE = "stages:\n  train: {run: train.py}\n"
KEEP = 22
NIGHTS = [f"202603{day:02}-013000-ab12" for day in range(1, KEEP + 3)]


def test_the_runs_that_a_schedule_keeps_outlast_the_end_of_any_other(ground: Ground) -> None:
    ground.commit(ONE, {"train.py": "print('trains')\n"})
    assert ground.deploy().code == 0
    yaml = HEAD.format(name=ground.name) + ONE
    project, _ = read(yaml.encode(), file="bodywork.yaml", files=None)
    ground.ask(lambda api: record(api, project, ground.name))
    assert ground.deploy().code == 0, "its end has old runs forgotten"
    newest, *others = runs(ground)
    assert newest not in NIGHTS and others == NIGHTS[: -KEEP - 1 : -1]


async def record(api: Api, project: Project, namespace: str) -> None:
    """The nights of a schedule, as if they had been."""
    await firings.make(api, project, namespace, namespace, None, keep=KEEP)
    records = ClusterRecords(api, "kubernetes", namespace=namespace)
    for number, run in enumerate(NIGHTS):
        planned = replace(plan(batch("train"), run=run, target="kubernetes"), project=project)
        await records.begin(one_night(run, project.name, time.time()), planned)
        await records.add(run, RunEnded(at=time.time(), state=RunState.SUCCEEDED, reason=""))
        row = firing(namespace, number, run)
        await firings.write(api, namespace, namespace, {told.key_of(row): told.encode(row)})


def one_night(run: str, pipeline: str, started: float) -> RunRecord:
    return run_record(run, pipeline=pipeline, target="kubernetes", kind="schedule", started=started)


def firing(schedule: str, number: int, run: str) -> Firing:
    due = 1772328600.0 + 86400 * number
    return Firing(
        number=0,
        schedule=schedule,
        due=due,
        cause=Cause.TIME,
        state=State.SUCCEEDED,
        run=run,
        process="",
        reason="",
        at=due,
        ended=due,
    )


def runs(ground: Ground) -> Sequence[str]:
    return [one["run"] for one in ground.tool.good("runs", ground.name, "--limit", "99", "-o", "json").json]
