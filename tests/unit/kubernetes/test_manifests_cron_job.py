"""The CronJobs of a schedule, and what is told of its times where no pod has told anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bodywork.app.cluster.cron import placed, refuse_taken, unseen
from bodywork.app.cluster.keeping import newest_first
from bodywork.app.cluster.order import Order, run_of
from bodywork.app.cluster.pushes import conclusion, left, own
from bodywork.app.cluster.times import Told, accounted
from bodywork.errors import UsageError
from bodywork.run.ledger import RunRecord
from bodywork.run.states import RunState
from bodywork.schedule import told
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Cause, Firing, State, runs_beyond
from bodywork.spec.cron import Cron
from bodywork.spec.model import Missed, Overlap, Project, Schedule
from bodywork.spec.read import read
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests import cron_job
from bodywork.targets.kubernetes.manifests.every import STEPS, expression, whole_minutes
from bodywork.targets.kubernetes.records import firings
from bodywork.targets.kubernetes.settings import Settings

UTC_ZONE = ZoneInfo("UTC")
START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
RULE = Schedule(cron="0 6 * * *", timezone="Europe/London")
DEFINITION = Definition(name="iris", pipeline="iris", repository="https://git.example/$iris", rule=RULE)
KEPT = Kept(definition=DEFINITION, made=0.0, paused=None, last=(START - timedelta(hours=1)).timestamp())


def project() -> Project:
    found, _ = read(
        b'version: "2"\nname: iris\nstages: {train: {run: train.py}}', file="bodywork.yaml", files=None
    )
    return found


def made(rule: Schedule = RULE, **more: Any) -> Object:
    document = replace(DEFINITION, rule=rule).encode()
    times = cron_job.Times(name="iris", document=document, rule=rule, since=1.5, **more)
    return cron_job.cron_job(project(), times, Settings(namespace="iris"))


def test_its_times_are_those_of_the_schedule() -> None:
    spec = made()["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("0 6 * * *", "Europe/London", False)
    assert spec["concurrencyPolicy"] == "Forbid" and "startingDeadlineSeconds" not in spec
    assert made(replace(RULE, overlap=Overlap.REPLACE))["spec"]["concurrencyPolicy"] == "Replace"
    assert made(paused=7.0)["spec"]["suspend"] is True


@pytest.mark.parametrize(
    ("rule", "seconds"),
    [
        (replace(RULE, deadline=3600.0), 3600),
        (replace(RULE, deadline=2.0), 10),
        (replace(RULE, missed=Missed.NONE), 90),
        (replace(RULE, missed=Missed.NONE, deadline=30.0), 30),
    ],
)
def test_when_a_time_is_given_up(rule: Schedule, seconds: int) -> None:
    assert made(rule)["spec"]["startingDeadlineSeconds"] == seconds


def test_its_pod_alone_sees_what_opens_the_repository() -> None:
    (pod, container) = pod_of(made(credential="schedule-iris-git"))
    assert [volume.get("secret", {}).get("secretName") for volume in pod["volumes"]] == [
        None,
        "schedule-iris-git",
    ]
    assert container["volumeMounts"][1] == {"name": "secret-0", "mountPath": "/git", "readOnly": True}
    assert pod["serviceAccountName"] == "bodywork-controller"
    assert (
        pod["securityContext"]["runAsNonRoot"]
        and not container["securityContext"]["allowPrivilegeEscalation"]
    )
    (bare, _) = pod_of(made())
    assert len(bare["volumes"]) == 1


def pod_of(obj: Object) -> tuple[Object, Object]:
    pod = obj["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def test_its_pod_is_replaced_as_that_of_any_controller() -> None:
    spec = made(RULE)["spec"]["jobTemplate"]["spec"]
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"
    assert {one["tolerationSeconds"] for one in spec["template"]["spec"]["tolerations"]} == {30}


def test_the_pod_is_told_all_of_the_schedule() -> None:
    assert Definition.decode(cron_job.document_of(made())) == DEFINITION
    _, container = pod_of(made())
    assert container["command"] == ["bodywork", "firing", "--job", "$(BODYWORK_JOB)", "--namespace", "iris"]


@pytest.mark.parametrize("asked", [False, True])
def test_the_time_is_known_by_the_job(asked: bool) -> None:
    due = START.timestamp()
    name = cron_job.job_now(made(), int(due))["metadata"]["name"] if asked else cron_job.job_of("iris", due)
    assert cron_job.due_of("iris", name) == (due, asked)
    firing = Order(definition=DEFINITION, namespace="iris", job=name).firing
    assert (firing.due, firing.cause) == (due, Cause.ASKED if asked else Cause.TIME)
    assert firing.run == run_of("iris", due) and firing.run.startswith("20260302-060000-")


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [(10, 1), (60, 1), (61, 2), (90, 2), (420, 10), (1900, 60), (3601, 120), (36000, 720), (86400, 1440)],
)
def test_looks_are_rounded_up_to_what_a_cron_job_can_say(seconds: float, minutes: int) -> None:
    assert whole_minutes(seconds) == minutes


@pytest.mark.parametrize("minutes", STEPS)
def test_looks_come_in_even_steps(minutes: int) -> None:
    times = Cron.parse(expression(minutes)).after(START, UTC_ZONE)
    two_days = [time for _, time in zip(range(2 * 1440 // minutes), times, strict=False)]
    assert {later - sooner for sooner, later in pairwise(two_days)} == {timedelta(minutes=minutes)}


PUSHED = Schedule(on_push=90.0, timezone="Europe/London")


def test_what_looks_at_the_branch_leaves_hardly_a_trace() -> None:
    times = cron_job.Times(name="iris", document=DEFINITION.encode(), rule=PUSHED, since=1.5)
    (one,) = cron_job.cron_jobs(project(), times, Settings(namespace="iris"))
    assert (one["metadata"]["name"], one["spec"]["schedule"]) == ("iris-push", "*/2 * * * *")
    assert (one["spec"]["timeZone"], one["spec"]["concurrencyPolicy"]) == ("UTC", "Forbid")
    assert (one["spec"]["successfulJobsHistoryLimit"], one["spec"]["failedJobsHistoryLimit"]) == (0, 1)
    both = cron_job.cron_jobs(
        project(), replace(times, rule=replace(RULE, on_push=90.0)), Settings(namespace="iris")
    )
    assert [one["metadata"]["name"] for one in both] == ["iris", "iris-push"]
    assert pod_of(both[0])[1] == pod_of(both[1])[1], "by the Job's name it knows what it is there for"


def on_the_server(*cron_jobs: Object) -> list[Object]:
    stamp = {"creationTimestamp": "2026-03-01T00:00:00Z"}
    return [{**one, "metadata": {**one["metadata"], **stamp}} for one in cron_jobs]


def test_cron_jobs_are_read_as_the_schedules_that_they_make_up() -> None:
    rule = replace(RULE, on_push=120.0)
    document = replace(DEFINITION, rule=rule).encode()
    times = cron_job.Times(name="iris", document=document, rule=rule, since=1.5, paused=3.0)
    found = on_the_server(*cron_job.cron_jobs(project(), times, Settings(namespace="iris")))
    found[1]["status"] = {"lastSuccessfulTime": "2026-03-02T06:00:00Z"}
    notes = {"metadata": {"annotations": {"bodywork/tip": "abc", "bodywork/trouble": "away"}}}
    (one,) = placed(reversed(found))
    assert (one.name, one.namespace, one.looks) == ("iris", "iris", True)
    kept = replace(one, book=notes).kept
    assert kept.definition.rule == rule and (kept.last, kept.paused) == (1.5, 3.0)
    assert (kept.tip, kept.trouble, kept.looked) == ("abc", "away", START.timestamp())


def test_a_name_that_another_schedule_takes_is_refused() -> None:
    times = cron_job.Times(name="iris", document=DEFINITION.encode(), rule=PUSHED, since=1.5)
    (taken,) = on_the_server(*cron_job.cron_jobs(project(), times, Settings(namespace="iris")))
    refuse_taken([None, taken], DEFINITION, project(), "iris")
    with pytest.raises(UsageError, match="a CronJob iris-push in namespace iris already"):
        refuse_taken([taken, None], replace(DEFINITION, name="iris-push"), project(), "iris")


def test_a_push_before_anybody_looked_is_not_run() -> None:
    pushed = replace(DEFINITION, rule=PUSHED)
    assert unseen(None, pushed, "now") == "now"
    assert unseen(KEPT, pushed, "now") == "now"
    before = replace(KEPT, definition=pushed)
    assert unseen(before, pushed, "now") is None, "one that came since it was last looked at is run"
    assert unseen(before, replace(pushed, ref="other"), "now") == "now"


def test_a_look_is_no_firing_until_the_branch_has_moved() -> None:
    order = Order(definition=replace(DEFINITION, rule=PUSHED), namespace="iris", job="iris-push-29540000")
    assert order.looks and not replace(order, job="iris-29540000").looks
    push, other = order.push("tip", START.timestamp() + 0.7), order.push("another", START.timestamp())
    assert (push.cause, push.process, push.due) == (Cause.PUSH, order.job, START.timestamp())
    assert len({push.run, other.run, run_of("iris", push.due)}) == 3
    waiting = {"metadata": {"name": order.job}, "status": {}}
    seen = Told(kept=replace(KEPT, last=9e9), rows=[], jobs=[waiting], runs=[], states={})
    assert accounted(seen, now=START.timestamp(), limit=30) == []


def test_a_push_whose_pod_was_lost_is_found_again() -> None:
    order = Order(definition=DEFINITION, namespace="iris", job="iris-push-1")
    push = order.push("tip", START.timestamp())
    done = replace(push, state=State.SUCCEEDED, process="iris-push-0")
    rows = [firing(0, State.RUNNING), done, push]
    assert own(rows, "iris-push-1") == push and own(rows, "iris-push-2") is None
    assert left(rows) == [push]


def test_the_runs_of_a_schedule_beyond_those_that_it_keeps() -> None:
    rows = [firing(4, State.RUNNING, "r4"), firing(3, State.SKIPPED)]
    rows += [firing(day, run=f"r{day}") for day in (2, 1, 0)]
    assert runs_beyond(rows, 1) == {"r1", "r0"} and runs_beyond(rows, 3) == set()
    book = {"data": {told.key_of(row): told.encode(row) for row in rows[::-1]}}
    assert newest_first(book) == rows and newest_first({}) == []


def test_a_firing_is_read_as_it_was_written() -> None:
    row = firing(0, State.FAILED)
    assert told.decode(told.encode(row)) == row
    assert told.key_of(firing(0)) < told.key_of(firing(1))


def test_a_push_of_which_no_run_began_is_owed_one() -> None:
    """All its tries are told in one line, in the place of the first."""
    first, second = pushed(1, State.FAILED), pushed(2, State.RUNNING)
    book = book_of(firing(0, State.FAILED), first, second)
    failed = replace(second, state=State.FAILED, reason="no secret", ended=9.0)
    documents, said = conclusion(book, failed, None)
    one_line = replace(failed, due=first.due, at=first.at)
    assert documents == {told.key_of(second): None, told.key_of(first): told.encode(one_line)}
    trouble = "abcdef01 was pushed, and is tried again until a run of it begins: no secret"
    assert said == {firings.TROUBLE: trouble}
    other = replace(failed, tip="fedcba")
    assert conclusion(book, other, None)[0] == {told.key_of(other): told.encode(other)}


def test_a_push_that_has_had_its_run_is_owed_none() -> None:
    push = pushed(2, State.FAILED, "r2")
    book = book_of(pushed(1, State.FAILED), push)
    documents, said = conclusion(book, push, "fedcba")
    assert documents == {told.key_of(push): told.encode(push)}
    assert said == {firings.TIP: "fedcba", firings.OWED: None, firings.TROUBLE: None}
    assert conclusion(book, push, None)[1] == {firings.OWED: None, firings.TROUBLE: None}
    at_a_time = firing(3, State.FAILED)
    assert conclusion(book, at_a_time, None) == ({told.key_of(at_a_time): told.encode(at_a_time)}, {})


def pushed(day: int, state: State, run: str = "") -> Firing:
    return replace(firing(day, state, run), cause=Cause.PUSH, reason="host away", tip="abcdef0123")


def book_of(*rows: Firing) -> Object:
    return {"data": {told.key_of(row): told.encode(row) for row in rows}}


def firing(day: int, state: State = State.SUCCEEDED, run: str = "") -> Firing:
    due = (START + timedelta(days=day)).timestamp()
    return Firing(
        number=0,
        schedule="iris",
        due=due,
        cause=Cause.TIME,
        state=state,
        run=run,
        process=cron_job.job_of("iris", due),
        reason="",
        at=due,
        ended=due + 9,
    )


def record(run: str, began: datetime, lasted: timedelta) -> RunRecord:
    return RunRecord(
        run=run,
        pipeline="iris",
        target="kubernetes",
        repository="r",
        ref="main",
        commit="0" * 40,
        state=RunState.SUCCEEDED,
        started=began.timestamp(),
        ended=(began + lasted).timestamp(),
        kind="deploy",
        reason="",
    )


def job(day: int, *conditions: str) -> Object:
    name = cron_job.job_of("iris", (START + timedelta(days=day)).timestamp())
    met = [{"type": one, "status": "True"} for one in conditions]
    return {"metadata": {"name": name}, "status": {"conditions": met}}


def test_every_time_is_accounted_for() -> None:
    """Told by its pod; within somebody's run; with a Job that failed; with nothing at all; yet to begin."""
    long = record("r-long", START + timedelta(hours=20), timedelta(hours=10))
    seen = Told(
        kept=KEPT,
        rows=[firing(0)],
        jobs=[job(2, "Failed"), job(4)],
        runs=[long],
        states={"r-long": State.SUCCEEDED},
    )
    rows = accounted(seen, now=(START + timedelta(days=4, hours=1)).timestamp(), limit=30)
    assert [(row.due, row.state) for row in rows] == [
        ((START + timedelta(days=day)).timestamp(), state)
        for day, state in (
            (4, State.WAITING),
            (3, State.MISSED),
            (2, State.FAILED),
            (1, State.SKIPPED),
            (0, State.SUCCEEDED),
        )
    ]
    assert rows[3].reason == "run r-long was in progress"
    assert all(row.reason for row in rows[:4])


def test_a_run_that_has_gone_on_since_is_told_as_it_stands() -> None:
    row = replace(firing(0, State.RUNNING, run="r"), ended=None)
    done = record("r", START, timedelta(minutes=1))
    seen = Told(kept=KEPT, rows=[row], jobs=[], runs=[done], states={"r": State.SUCCEEDED})
    (found,) = accounted(seen, now=START.timestamp() + 600, limit=30)
    assert found.state is State.SUCCEEDED and found.ended == done.ended
    between = replace(seen, states={"r": State.INTERRUPTED}, jobs=[job(0)])
    (found,) = accounted(between, now=START.timestamp() + 600, limit=30)
    assert (found.state, found.ended) == (State.RUNNING, None), "the next pod is on its way"
    (found,) = accounted(replace(between, jobs=[job(0, "Failed")]), now=START.timestamp() + 600, limit=30)
    assert found.state is State.INTERRUPTED
    lost = replace(seen, runs=[], states={})
    (found,) = accounted(lost, now=START.timestamp() + 600, limit=30)
    assert found.state is State.FAILED and "before a run began" in found.reason


def test_a_time_that_has_only_just_come_is_not_yet_told_as_missed() -> None:
    seen = Told(kept=KEPT, rows=[], jobs=[], runs=[], states={})
    assert accounted(seen, now=START.timestamp() + 60, limit=30) == []
    assert [row.state for row in accounted(seen, now=START.timestamp() + 180, limit=30)] == [State.MISSED]
    paused = replace(seen, kept=replace(KEPT, paused=START.timestamp() - 60))
    assert accounted(paused, now=START.timestamp() + 9999, limit=30) == []
