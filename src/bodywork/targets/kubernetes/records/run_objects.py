"""The ConfigMaps that a run's record consists of, as plain data.

    run-RUN             label bodywork/record: run      the record, its release, the first events
    run-RUN-plan-N      label bodywork/record: plan     the plan, where it is too big for the first
    run-RUN-events-N    label bodywork/record: events   later events
    log-RUN-STAGE       label bodywork/record: log      the end of a stage's output

The last two are owned by the first: Kubernetes deletes them with it. What names a target differs
from machine to machine, so what is read is given the name that it has here.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Literal

from bodywork.run.events import Event, RunEnded, RunStarted
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.plan import Plan
from bodywork.run.record import decode_event, decode_plan, encode_event, encode_plan
from bodywork.run.states import RunState
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.records import entries

RECORD = f"{labels.PREFIX}record"
"""The label that says which part of a run's record an object is."""

WRITTEN, RENDERED = "record", "rendered-record"
"""Keys of the record: as runs write it, and as it was rendered, for others to apply. To apply that again
and again, as GitOps does, changes nothing of what the run has written since.
"""

PLAN_HERE = 8_000
"""Bytes of a compressed plan that the first object, which is written again and again, can carry."""

PLAN_PART = 60_000
LOG_SIZE = 64 * 1024
REASON = 8_000
"""Characters of a reason that are kept."""


def first(record: RunRecord, plan: Plan, namespace: str, *, key: str = WRITTEN) -> list[Object]:
    """The objects of a new run, in the order in which to make them: with the last, it is there."""
    content = gzip.compress(encode_plan(plan).encode(), mtime=0)
    marks = labels.of_run(plan)
    main = _config_map(f"run-{record.run}", namespace, marks, "run")
    main["data"] = {key: encode_record(record)}
    if len(content) <= PLAN_HERE:
        main["binaryData"] = {"plan": base64.b64encode(content).decode()}
        return [main]
    parts = []
    for number, part in enumerate(entries.split(content, PLAN_PART), 1):
        obj = _config_map(plan_name(record.run, number), namespace, marks, "plan")
        parts.append({**obj, "binaryData": {"plan": base64.b64encode(part).decode()}})
    main["data"]["plan-parts"] = str(len(parts))
    return [*parts, main]


def chunk(main: Object, number: int, texts: Mapping[str, str]) -> Object:
    """The object with these events, the `number`th after the first one."""
    name = f"{main['metadata']['name']}-events-{number}"
    return {**_owned(main, name, "events"), **entries.packed(texts)}


def log(main: Object, stage: str, text: bytes) -> Object:
    """The object with the end of the output of a stage, named by its object name."""
    run = run_of(main)
    obj = _owned(main, log_name(run, stage), "log")
    return {**obj, "binaryData": {"log": entries.compressed(end_of(text))}}


def end_of(text: bytes) -> bytes:
    """The last 64 kB, from the beginning of a line on."""
    if len(text) <= LOG_SIZE:
        return text
    end = text[-LOG_SIZE:]
    if text[-LOG_SIZE - 1 : -LOG_SIZE] != b"\n" and b"\n" in end[:-1]:
        end = end[end.index(b"\n") + 1 :]
    return end


def log_name(run: str, stage: str) -> str:
    return f"log-{run}-{stage}"


def plan_name(run: str, number: int) -> str:
    return f"run-{run}-plan-{number}"


def plan_names(main: Object) -> list[str]:
    """The names of the objects with the parts of the plan; none when the first has it all."""
    count = int(main["data"].get("plan-parts", "0"))
    return [plan_name(run_of(main), number) for number in range(1, count + 1)]


def plan_of(parts: list[Object], target: str) -> Plan:
    """The plan out of the first object, or out of all of its parts."""
    content = entries.joined(part["binaryData"]["plan"] for part in parts)
    return replace(decode_plan(gzip.decompress(content).decode()), target=target)


def run_of(main: Object) -> str:
    run: str = main["metadata"]["labels"][labels.RUN]
    return run


def encode_record(record: RunRecord) -> str:
    return json.dumps(asdict(record))


def record_of(main: Object, target: str) -> RunRecord:
    document = _known(RunRecord, entries.text_of(main, WRITTEN) or entries.text_of(main, RENDERED))
    return RunRecord(**{**document, "state": RunState(document["state"]), "target": target})


def encode_release(release: Release) -> str:
    services = {name: dict(inputs) for name, inputs in release.services.items()}
    return json.dumps({**vars(release), "services": services})


def release_of(obj: Object, target: str) -> Release | None:
    """The release that an object of a run holds, if any."""
    text = entries.text_of(obj, "release")
    return None if text is None else Release(**{**_known(Release, text), "target": target})


def events_of(objects: list[Object]) -> list[Event]:
    """The events of the objects of a run, in the order in which they happened."""
    found = {key: obj for obj in objects for key in entries.event_keys(obj)}
    return [decode_event(entries.text_of(found[key], key) or "") for key in sorted(found)]


def encode_short(event: Event) -> str:
    """An event, its reason cut in the middle if it is longer than anybody will read."""
    reason = getattr(event, "reason", "")
    if len(reason) <= REASON:
        return encode_event(event)
    cut = f"{reason[: REASON // 2]} [...] {reason[-REASON // 2 :]}"
    return encode_event(replace(event, reason=cut))  # type: ignore[call-arg]


def following(record: RunRecord, event: Event) -> RunRecord:
    """The record of a run after an event of it."""
    if isinstance(event, RunEnded):
        return replace(record, state=event.state, ended=event.at, reason=event.reason[:REASON])
    if isinstance(event, RunStarted) and event.resumed:
        return replace(record, state=RunState.RUNNING, ended=None, reason="")
    return record


def _known(kind: type, text: str | None) -> dict[str, Any]:
    """The fields of a dataclass; what another version of bodywork has written besides is passed over."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in json.loads(text or "{}").items() if name in names}


def _owned(main: Object, name: str, record: Literal["events", "log"]) -> Object:
    metadata = main["metadata"]
    obj = _config_map(name, metadata["namespace"], metadata["labels"], record)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"]}
    obj["metadata"]["ownerReferences"] = [owner]
    return obj


def _config_map(
    name: str, namespace: str, marks: Mapping[str, str], record: Literal["run", "plan", "events", "log"]
) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": {**marks, RECORD: record}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
