"""docs/reference/json.md: each shape is a document that the code itself made, and words for its keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from bodywork.app.day_runs import Backfill, DayRun
from bodywork.app.doctor import Finding
from bodywork.app.keepers import document as secret_document
from bodywork.app.notices import notice_of
from bodywork.app.status import Status, run_document, view_of
from bodywork.cli.agent import document as agent_document
from bodywork.cli.plan_view import plan_document
from bodywork.errors import Problem
from bodywork.history import RunRecord
from bodywork.run import events
from bodywork.run.plan import ObservedService, Plan, Source, make_plan
from bodywork.run.states import RunState, StageState
from bodywork.secret import Entry
from bodywork.spec.model import Occasion
from bodywork.spec.read import read
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.protocol import AgentStatus, ReplicaStatus, ServiceStatus
from pages import schedules, stores
from pages.markdown import GENERATED, code, table

COMMIT = "3f8a1c0d5e7b92a4c6d8e0f1a2b3c4d5e6f70819"
RUN = "20260301-060000-1a2b"
START = 1772344800.0
DIGEST = "file:" + "5d" * 32
FILE = b"""
version: "2"
name: flowers
workflow: train >> serve
stages:
  train: {run: train.py, outputs: {model: model.joblib}}
  serve: {run: serve.py, inputs: {model: train.model}, service: {port: 5000, replicas: 2}}
"""

INTRODUCTION = """
# JSON

What `--output json` prints: one document on stdout. Keys may be added in later versions; those that are here
stay. Times are RFC 3339 in UTC, `null` when there is none yet; memory is in bytes.
"""

STAGE_STATES = ", ".join(code(state) for state in StageState)
RUN_STATES = ", ".join(code(state) for state in RunState)

WORDS: dict[str, dict[str, str]] = {
    "status": {
        "pipeline": "The pipeline's name.",
        "target": "`local`, `kubernetes` or `kubernetes:CONTEXT`.",
        "run": "The run's id.",
        "commit": "40 hexadecimal digits.",
        "date": "The day that the run was for, as YYYY-MM-DD; `null` when it was for none.",
        "state": f"Of the run: {RUN_STATES}.",
        "reason": "Why the run ended as it did, or does not go on now; empty when all is well.",
        "stages": "In the order of the workflow, `on_failure` last.",
        "stages[].name": "The stage's name.",
        "stages[].kind": "`batch` or `service`.",
        "stages[].state": f"{STAGE_STATES}.",
        "stages[].reason": "Why, as a sentence; may be empty.",
        "stages[].started": "Start of the first attempt.",
        "stages[].ended": "End of the last attempt; of a service, when it was ready.",
        "stages[].attempts": "0 when it was not started.",
        "stages[].peak_memory": "`null` when not known.",
        "stages[].cpu_seconds": "User plus system time of the last attempt; `null` when not known.",
        "stages[].outputs": "Digests of what it made, by name.",
        "services": "As they are now, whichever run rolled them out.",
        "services[].name": "The stage's name.",
        "services[].url": "Answers from this machine.",
        "services[].ready": "How many replicas are ready.",
        "services[].replicas": "How many there should be.",
        "services[].release": "The run that rolled it out.",
        "services[].commit": "The commit that it runs.",
        "services[].reason": "What is wrong with it; empty when all is well.",
    },
    "days": {
        "pipeline": "The pipeline's name.",
        "target": "`local`, `kubernetes` or `kubernetes:CONTEXT`.",
        "commit": "40 hexadecimal digits.",
        "cancelled": "Whether it was stopped before its end.",
        "days": "All days of the range, in their order.",
        "days[].date": "The day, as YYYY-MM-DD.",
        "days[].run": "The id of its run, `null` when it was not run.",
        "days[].state": "`succeeded`, `failed`, `cancelled` or `not run`.",
        "days[].earlier": "Whether it had succeeded before and was not run again.",
        "days[].reason": "Why its run ended as it did; empty when all is well.",
        "days[].started": "Of its run.",
        "days[].ended": "Of its run.",
    },
    "runs": {
        "run": "The run's id.",
        "pipeline": "The pipeline's name.",
        "target": "`local`, `kubernetes` or `kubernetes:CONTEXT`.",
        "kind": "`deploy`, `schedule` or `rollback`.",
        "date": "The day that it was run for, as YYYY-MM-DD; `null` when it was for none.",
        "backfill": "The range of days, FIRST..LAST, of the back-fill that it is part of, or `null`.",
        "repository": "What was named, without credentials.",
        "ref": "The branch, tag or commit that was asked for.",
        "commit": "40 hexadecimal digits.",
        "state": f"{RUN_STATES}.",
        "reason": "Why it ended as it did; empty when all is well.",
        "started": "Of its first start, when it was resumed.",
        "ended": "`null` while it runs.",
    },
    "notice": {
        "notice": "`failed`, `recovered` or `first-success`.",
        "pipeline": "The pipeline's name.",
        "target": "`local` or `kubernetes`.",
        "run": "The run's id; `null` when a schedule's run could not even begin.",
        "commit": "40 hexadecimal digits; `null` without a run.",
        "ref": "The branch, tag or commit that was asked for.",
        "repository": "What was named, without credentials.",
        "date": "The day that the run was for, as YYYY-MM-DD; `null` when it was for none.",
        "state": "`succeeded`, `failed` or `interrupted`.",
        "previous_state": "Of the run before, `null` without one. Those that were cancelled, back-fills "
        "and rollbacks do not count.",
        "stage": "The first stage that failed, or `null`.",
        "reason": "Why it ended as it did; empty when all is well.",
        "started": "Of its first start, when it was resumed.",
        "ended": "`null` when nobody has seen its end.",
    },
    "plan": {
        "pipeline": "The pipeline's name.",
        "target": "`local`, `kubernetes` or `kubernetes:CONTEXT`.",
        "commit": "40 hexadecimal digits.",
        "stages": "In the order of the workflow.",
        "stages[].name": "The stage's name.",
        "stages[].kind": "`batch` or `service`.",
        "stages[].action": "`run` a batch stage; `add`, `replace` or `keep` a service; `decide`: it "
        "is replaced if what it reads turns out to have changed.",
        "stages[].reason": "Why.",
        "stages[].after": "The stages that have to succeed before it starts.",
        "stages[].environment": "Digest of its locked packages.",
        "stages[].environment_built": "Whether they are installed already.",
        "on_failure": "The stage that runs if the run fails, or `null`.",
        "removals": "Services that go once the run has succeeded.",
        "removals[].name": "The service.",
        "removals[].reason": "Why.",
    },
    "validate": {
        "valid": "Whether it has no errors.",
        "pipeline": "The pipeline's name; `null` when it is not valid.",
        "problems": "All errors, or the warnings of a valid file, in the file's order.",
        "problems[].file": "The file.",
        "problems[].line": "From 1; 0 where there is no place to name.",
        "problems[].column": "From 1.",
        "problems[].path": "The key, like `stages.train.memory`.",
        "problems[].message": "What is wrong.",
        "problems[].warning": "Whether it is only odd.",
    },
    "agent": {
        "running": "Whether the agent runs; when it does not, `services` is empty and all else is left out.",
        "pid": "Its process.",
        "watchdog": "The process that starts it again when it dies.",
        "started": "When it started.",
        "version": "Of bodywork.",
        "memory": "Resident size.",
        "watchdog_memory": "Resident size.",
        "schedules": "How many schedules it fires.",
        "services": "What it looks after.",
        "services[].pipeline": "The pipeline's name.",
        "services[].name": "The stage's name.",
        "services[].url": "Answers from this machine.",
        "services[].state": "`ready`, `starting`, `degraded` (some replicas are not ready), `failing` (none "
        "is), `stopping`.",
        "services[].reason": "What is wrong; empty when all is well.",
        "services[].release": "The run that rolled it out.",
        "services[].replicas": "Its processes.",
        "services[].replicas[].number": "From 1.",
        "services[].replicas[].pid": "Its process, or `null`.",
        "services[].replicas[].state": "`waiting`, `starting`, `ready`, `unready`, `ending`, `ended`.",
        "services[].replicas[].restarts": "How often it was started again.",
        "services[].replicas[].address": "Where it answers itself, without the proxy.",
        "services[].replicas[].reason": "What is wrong with it.",
    },
    "secrets": {
        "name": "The secret's name.",
        "group": "Its group, or `null`.",
        "namespace": "Where it is in a cluster; left out for those of this machine.",
        "keys": "Its keys; never their values.",
        "keys[].key": "The key's name.",
        "keys[].changed": "When its value was set.",
    },
    **schedules.WORDS,
    **stores.WORDS,
    "doctor": {
        "name": "What was looked at.",
        "state": "`ok`, `warning` or `missing`.",
        "found": "What there is.",
        "advice": "How to get what is missing.",
    },
}

TITLES = {
    "status": "deploy, resume, rollback, status PIPELINE",
    "days": "deploy --date FIRST..LAST",
    "runs": "runs",
    "notice": "webhooks of the form json",
    "plan": "plan",
    "validate": "validate",
    "agent": "agent status",
    "secrets": "secret list",
    **schedules.TITLES,
    **stores.TITLES,
    "doctor": "doctor",
}
NOTES = {
    "status": "An object. `status` without a pipeline prints a list of such objects.",
    "days": "An object. When a day has failed, the exit code is 1.",
    "runs": "A list, newest first.",
    "notice": "An object, [posted](../how-to/notify-a-channel.md) with `Content-Type: application/json`.",
    "plan": "An object.",
    "validate": "An object. With errors, the exit code is 2.",
    "agent": "An object.",
    "secrets": "A list. With `--target kubernetes` each has its `namespace` as well.",
    **schedules.NOTES,
    **stores.NOTES,
    "doctor": "A list. When something is missing, the exit code is 2.",
}


def page() -> str:
    parts = [GENERATED, INTRODUCTION]
    for name, document in samples().items():
        first = document[0] if isinstance(document, list) else document
        found = set(paths(first))
        assert found == WORDS[name].keys(), f"{name}: words and code differ: {found ^ WORDS[name].keys()}"
        rows = ([code(key), words] for key, words in WORDS[name].items())
        example = json.dumps(document, indent=2)
        parts.append(f"\n## {TITLES[name]}\n\n{NOTES[name]}\n\n{table(['key', 'value'], rows)}")
        parts.append(f"\n```json\n{example}\n```\n")
    return "".join(parts)


def paths(document: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in document.items():
        found.append(prefix + key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found += paths(value[0], f"{prefix}{key}[].")
    return found


def samples() -> dict[str, Any]:
    planned = plan()
    record = RunRecord(
        run=RUN,
        pipeline="flowers",
        target="local",
        repository="https://git.example/flowers",
        ref="main",
        commit=COMMIT,
        state=RunState.SUCCEEDED,
        started=START,
        ended=START + 9,
        kind="deploy",
        reason="",
    )
    failed = replace(record, state=RunState.FAILED)
    service = ObservedService(
        name="serve",
        fingerprint="",
        inputs={},
        release=RUN,
        url="http://127.121.244.124:5000",
        ready=2,
        replicas=2,
        commit=COMMIT,
    )
    status = Status(record=record, state=record.state, plan=planned, view=view(planned), services=(service,))
    problem = Problem(
        file="bodywork.yaml",
        line=7,
        column=5,
        path="stages.train.memroy",
        message='unknown key (did you mean "memory"?)',
    )
    finding = Finding(name="git-lfs", state="warning", found="not found", advice="apt install git-lfs")
    return {
        "status": status.document(),
        "days": days(record).document(),
        "runs": [run_document(record, record.state)],
        "notice": notice_of(Occasion.RECOVERED, record, [failed], None).document(),
        "plan": plan_document(planned, {"e2" * 32})
        | {"removals": [{"name": "old", "reason": "the workflow no longer names it"}]},
        "validate": {"valid": False, "pipeline": None, "problems": [asdict(problem)]},
        "agent": agent(),
        "secrets": [secret_document(ENTRY)],
        **schedules.samples(START, RUN),
        **stores.samples(record, DIGEST),
        "doctor": [asdict(finding)],
    }


def days(record: RunRecord) -> Backfill:
    day = replace(record, run=f"{RUN}-20260301", date="2026-03-01", backfill="2026-03-01..2026-03-01")
    return Backfill(
        pipeline=record.pipeline,
        target=record.target,
        commit=record.commit,
        cancelled=False,
        days=(DayRun(day="2026-03-01", record=day, earlier=False),),
    )


ENTRY = Entry(name="weather-service", group=None, keys={"API_TOKEN": START}, namespace="flowers")


def plan() -> Plan:
    project, _ = read(FILE, file="bodywork.yaml", files=None)
    source = Source(
        repository="https://git.example/flowers",
        ref="main",
        commit=COMMIT,
        file="bodywork.yaml",
        folder="",
        files="",
    )
    environments = {"train": "e1" * 32, "serve": "e2" * 32}
    return make_plan(
        run=RUN, target="local", project=project, source=source, environments=environments, observed={}
    )


def view(planned: Plan) -> Any:
    happened = [
        events.RunStarted(at=START, run=RUN),
        events.StageStarted(at=START + 0.1, stage="train", attempt=1, handle="1"),
        events.StageEnded(
            at=START + 3.2,
            stage="train",
            state=StageState.SUCCEEDED,
            exit_code=0,
            outputs={"model": DIGEST},
            peak_memory=125_000_000,
            cpu_seconds=2.4,
        ),
        events.StageStarted(at=START + 3.3, stage="serve", attempt=1, handle="2"),
        events.StageEnded(
            at=START + 8.9, stage="serve", state=StageState.SUCCEEDED, reason="not deployed yet"
        ),
    ]
    return view_of(planned).replay(happened)


def agent() -> dict[str, Any]:
    definition = Definition(
        pipeline="flowers",
        stage="serve",
        release=RUN,
        commit=COMMIT,
        fingerprint="",
        command=(),
        folder="",
        port=5000,
    )
    replica = ReplicaStatus(
        number=1, pid=4243, state="ready", restarts=0, address="127.0.0.1:35589", reason=""
    )
    service = ServiceStatus(
        definition=definition,
        url="http://127.121.244.124:5000",
        ready=2,
        replicas=(replica, replace(replica, number=2, pid=4244, address="127.0.0.1:33797")),
        state="ready",
        reason="",
    )
    found = AgentStatus(
        pid=4240,
        watchdog=4242,
        started=START,
        version="0.1.0",
        services=1,
        memory=31_000_000,
        watchdog_memory=9_000_000,
    )
    return agent_document(found, [service])
