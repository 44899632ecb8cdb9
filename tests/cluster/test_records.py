"""The record of runs in a real cluster, read by one who was not there when it was written."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bodywork.errors import BusyError, ForbiddenError, NotFoundError, UnreachableError, UsageError
from bodywork.run.events import Event, RunEnded, RunStarted, StageEnded, StagePrepared, StageStarted
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.plan import Plan
from bodywork.run.retention import Policy
from bodywork.run.states import RunState, StageState
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, ROLE, ROLE_BINDING, SECRET, SERVICE_ACCOUNT
from bodywork.targets.kubernetes.records import entries
from bodywork.targets.kubernetes.records.records import ClusterRecords
from bodywork.targets.kubernetes.records.run_writer import RunWriter
from workflows import batch, plan

pytestmark = pytest.mark.cluster

LIMIT = 100_000
HERE = "kubernetes:here"
THERE = "kubernetes"


def a_plan(run: str, *, name: str = "iris", stages: int = 2) -> Plan:
    made = [batch(f"stage_{n}", env={"A": random.Random(n).randbytes(40).hex()}) for n in range(stages)]
    planned = plan(*made, run=run, target=HERE)
    label = name.lower().replace("_", "-")
    return replace(planned, project=replace(planned.project, name=name, object_name=label))


def a_record(planned: Plan, started: float) -> RunRecord:
    return RunRecord(
        run=planned.run,
        pipeline=planned.pipeline,
        target=HERE,
        repository=planned.source.repository,
        ref="main",
        commit=planned.source.commit,
        state=RunState.RUNNING,
        started=started,
        ended=None,
        kind="deploy",
        reason="",
    )


def a_release(planned: Plan, at: float, digest: str = "file:1") -> Release:
    return Release(
        pipeline=planned.pipeline,
        target=HERE,
        run=planned.run,
        commit=planned.source.commit,
        at=at,
        services={"serve": {"model": digest}},
    )


def ended(at: float, state: RunState = RunState.SUCCEEDED, reason: str = "") -> RunEnded:
    return RunEnded(at=at, state=state, reason=reason)


def prepared(count: int) -> list[Event]:
    return [StagePrepared(at=1.0 + n, stage=f"stage_{n}") for n in range(count)]


@pytest.fixture
def here(api: Api, namespace: str) -> ClusterRecords:
    return ClusterRecords(api, HERE, namespace=namespace)


@pytest.fixture
async def there(kubeconfig: Path, namespace: str) -> AsyncIterator[ClusterRecords]:
    """The records as another machine sees them."""
    async with Api.open({**os.environ, "KUBECONFIG": str(kubeconfig)}) as api:
        yield ClusterRecords(api, THERE, namespace=namespace)


@pytest.fixture
async def run(here: ClusterRecords) -> str:
    planned = a_plan("20261123-060000-ab12")
    await here.begin(a_record(planned, 1.0), planned)
    return planned.run


def everything(objects: list[dict[str, Any]]) -> dict[str, int]:
    """Names and sizes as the API server tells them, its own notes on owners of fields included."""
    return {obj["metadata"]["name"]: len(json.dumps(obj)) for obj in objects}


async def test_any_machine_reads_what_another_has_written(
    here: ClusterRecords, there: ClusterRecords, namespace: str
) -> None:
    planned = a_plan("20261123-060000-ab12")
    record = a_record(planned, 1.0)
    await here.begin(record, planned)
    seen: list[Event] = [
        RunStarted(at=1.0, run=planned.run),
        StageStarted(at=2.0, stage="stage_0", attempt=1, handle="job/x"),
        StageEnded(at=3.0, stage="stage_0", state=StageState.SUCCEEDED, outputs={"model": "file:1"}),
    ]
    for event in seen:
        await here.add(planned.run, event)
    assert await there.plan(planned.run) == replace(planned, target=THERE)
    assert await there.events(planned.run) == seen
    assert await there.run(planned.run[:10]) == replace(record, target=THERE)
    assert await there.releases("iris") == []

    release = a_release(planned, 4.0)
    await here.add(planned.run, ended(4.0), release=release)
    done = replace(record, target=THERE, state=RunState.SUCCEEDED, ended=4.0)
    assert await there.runs("iris") == [done]
    assert await there.runs() == [done]
    assert await there.pipelines() == ["iris"]
    assert await there.releases("iris") == [replace(release, target=THERE)]
    assert await there.namespace(planned.run) == namespace


async def test_a_run_is_resumed_by_another_machine(
    here: ClusterRecords, there: ClusterRecords, run: str
) -> None:
    failure = ended(2.0, RunState.FAILED, "stage_0 failed")
    await here.add(run, RunStarted(at=1.0, run=run))
    await here.add(run, failure)
    assert (await there.run(run)).reason == "stage_0 failed"
    await there.add(run, RunStarted(at=3.0, run=run, resumed=True))
    record = await here.run(run)
    assert (record.state, record.ended, record.reason) == (RunState.RUNNING, None, "")
    await there.add(run, ended(4.0))
    assert await here.events(run) == [
        RunStarted(at=1.0, run=run),
        failure,
        RunStarted(at=3.0, run=run, resumed=True),
        ended(4.0),
    ]


async def test_of_two_writers_one_is_refused_and_nothing_is_lost(
    here: ClusterRecords, there: ClusterRecords, run: str
) -> None:
    await here.add(run, RunStarted(at=1.0, run=run))
    await there.add(run, RunStarted(at=2.0, run=run, resumed=True))
    with pytest.raises(BusyError, match=f"another command has taken run {run} of iris over"):
        await here.add(run, StagePrepared(at=3.0, stage="stage_0"))
    await there.add(run, StagePrepared(at=4.0, stage="stage_1"))
    assert [event.at for event in await there.events(run)] == [1.0, 2.0, 4.0]


async def test_two_writers_at_a_full_object_are_told_apart(
    here: ClusterRecords, there: ClusterRecords, api: Api, namespace: str, run: str
) -> None:
    count = 0
    while not entries.full(main := await api.get(CONFIG_MAP, f"run-{run}", namespace) or {}):
        count += 1
        await here.add(run, StagePrepared(at=1.0, stage="x" * 3_000))
    writers = [RunWriter(api, [main], THERE) for _ in range(4)]
    results = await asyncio.gather(
        *(writer.add(StagePrepared(at=7.0, stage=f"s{n}")) for n, writer in enumerate(writers)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, BusyError)]
    assert (len(refused), results.count(None)) == (3, 1)
    assert len(await there.events(run)) == count + 1


async def test_a_lost_answer_or_a_label_of_others_is_no_other_writer(
    here: ClusterRecords, api: Api, namespace: str, run: str
) -> None:
    await here.add(run, RunStarted(at=1.0, run=run))
    await api.patch(CONFIG_MAP, f"run-{run}", namespace, {"metadata": {"labels": {"team": "red"}}})
    await here.add(run, StagePrepared(at=2.0, stage="stage_0"))
    # as if this had been written by the next `add`, whose answer never came
    again = StagePrepared(at=3.0, stage="stage_1")
    key = entries.event_key(3)
    text = json.dumps({"event": "StagePrepared", **vars(again)}, separators=(",", ":"))
    await api.patch(CONFIG_MAP, f"run-{run}", namespace, {"data": {key: text}})
    await here.add(run, again)
    await here.add(run, StagePrepared(at=4.0, stage="stage_2"))
    assert [event.at for event in await here.events(run)] == [1.0, 2.0, 3.0, 4.0]


async def test_events_that_come_together_are_written_together_in_their_order(
    here: ClusterRecords, there: ClusterRecords, run: str
) -> None:
    events = [RunStarted(at=1.0, run=run), *prepared(400), ended(2.0, RunState.FAILED, "no")]
    events += [RunStarted(at=3.0, run=run, resumed=True), *prepared(7), ended(4.0)]
    began = time.monotonic()
    await asyncio.gather(*(here.add(run, replace(event, at=n)) for n, event in enumerate(events)))
    print(f"{1000 * (time.monotonic() - began) / len(events):.2f} ms for each event")
    assert await there.events(run) == [replace(event, at=n) for n, event in enumerate(events)]
    assert (await there.run(run)).state is RunState.SUCCEEDED


async def test_noted_events_are_there_with_the_next_that_is_added(
    here: ClusterRecords, there: ClusterRecords, api: Api, run: str
) -> None:
    requests, patch = 0, api.patch

    async def counted(*call: Any) -> Any:
        nonlocal requests
        requests += 1
        return await patch(*call)

    api.patch = counted  # type: ignore[method-assign,assignment]
    events = [RunStarted(at=1.0, run=run), *prepared(20), ended(3.0)]
    await here.add(run, events[0])
    for event in events[1:-1]:
        await here.note(run, event)
    await here.add(run, events[-1])
    assert await there.events(run) == events
    assert requests == 3  # the beginning, what was noted, the end


async def test_a_noted_event_is_written_without_another(
    here: ClusterRecords, there: ClusterRecords, run: str
) -> None:
    await here.add(run, RunStarted(at=1.0, run=run))
    await here.note(run, prepared(1)[0])
    async with asyncio.timeout(10):
        while len(await there.events(run)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_who_may_not_write_any_more_hears_of_it_at_the_next_event_that_is_added(
    here: ClusterRecords, there: ClusterRecords, run: str
) -> None:
    await here.add(run, RunStarted(at=1.0, run=run))
    await there.add(run, RunStarted(at=2.0, run=run, resumed=True))
    await here.note(run, StagePrepared(at=3.0, stage="stage_0"))
    with pytest.raises(BusyError):
        await here.add(run, StageEnded(at=4.0, stage="stage_0", state=StageState.SUCCEEDED))
    assert [event.at for event in await there.events(run)] == [1.0, 2.0]


async def test_what_could_not_be_written_goes_with_the_next(
    here: ClusterRecords, api: Api, namespace: str, run: str
) -> None:
    await here.add(run, RunStarted(at=1.0, run=run))
    for written in (False, True):
        lost, number = StagePrepared(at=2.0 + written, stage="stage_0"), 2 + 2 * written
        patch, away = api.patch, UnreachableError("the answer never came")

        async def answer_is_lost(*call: Any, patch: Any = patch, arrives: bool = written) -> Any:
            if arrives:
                await patch(*call)
            raise away  # noqa: B023

        api.patch = answer_is_lost  # type: ignore[method-assign,assignment]
        with pytest.raises(UnreachableError):
            await here.add(run, lost)
        api.patch = patch  # type: ignore[method-assign]
        await here.add(run, StagePrepared(at=10.0 + number, stage="stage_1"))
    assert [event.at for event in await here.events(run)] == [1.0, 2.0, 12.0, 3.0, 14.0]


async def test_3000_events_of_1000_stages(
    here: ClusterRecords, there: ClusterRecords, api: Api, namespace: str
) -> None:
    planned = a_plan("20261123-060000-ab12", stages=1_000)
    await here.begin(a_record(planned, 1.0), planned)
    events: list[Event] = [RunStarted(at=1.0, run=planned.run)]
    for n in range(1_000):
        name, at = f"stage_{n}", 1_700_000_000.123456 + n
        handle = f"job/iris-{planned.run}-stage-{n}"
        events.append(StagePrepared(at=at, stage=name))
        events.append(StageStarted(at=at, stage=name, attempt=1, handle=handle))
        outputs = {"model": f"file:{random.Random(n).randbytes(32).hex()}"}
        events.append(StageEnded(at=at, stage=name, state=StageState.SUCCEEDED, outputs=outputs))
    events.append(ended(2_000.0))
    began = time.monotonic()
    for event in events[:300]:
        await here.add(planned.run, event)
    took = time.monotonic() - began
    await asyncio.gather(*(here.add(planned.run, event) for event in events[300:-1]))
    release = a_release(planned, 2_000.0)
    await here.add(planned.run, events[-1], release=release)

    sizes = everything(await api.list(CONFIG_MAP, namespace, labels="bodywork/record"))
    largest = max(sizes, key=lambda name: sizes[name])
    print(f"{len(events)} events: {1000 * took / 300:.1f} ms each, {len(sizes)} objects,")
    print(f"the largest is {largest} with {sizes[largest]} bytes")
    assert sizes[largest] < LIMIT
    began = time.monotonic()
    assert await there.events(planned.run) == events
    print(f"read in {1000 * (time.monotonic() - began):.0f} ms")
    assert await there.plan(planned.run) == replace(planned, target=THERE)
    assert (await there.run(planned.run)).state is RunState.SUCCEEDED

    # As if the command had died after the last event, before the record followed.
    (main,) = await api.list(CONFIG_MAP, namespace, labels={"bodywork/record": "run"})
    before = {"record": json.dumps({**json.loads(main["data"]["record"]), "state": "running"})}
    change = {"data": {**before, "release": None}}
    await api.patch(CONFIG_MAP, main["metadata"]["name"], namespace, change)
    (record,) = await there.runs("iris")
    assert (record.state, record.ended) == (RunState.SUCCEEDED, 2_000.0)
    assert await there.releases("iris") == [replace(release, target=THERE)]

    await there.forget("iris")
    assert await gone(api, namespace)


async def gone(api: Api, namespace: str) -> bool:
    """Kubernetes deletes what the deleted owned a moment later."""
    for _ in range(100):
        if not await api.list(CONFIG_MAP, namespace, labels="bodywork/record"):
            return True
        await asyncio.sleep(0.2)
    return False


async def test_logs_are_kept_small_and_go_with_their_run(
    here: ClusterRecords, there: ClusterRecords, api: Api, namespace: str, run: str
) -> None:
    noise = random.Random(1).randbytes(200_000)
    await here.keep_log(run, "stage-0", b"first\n")
    await here.keep_log(run, "stage-0", b"first\nsecond\n")
    await here.keep_log(run, "stage-1", noise)
    assert await there.kept_log(run, "stage-0") == b"first\nsecond\n"
    kept = await there.kept_log(run, "stage-1")
    assert kept
    assert noise.endswith(kept)
    assert await there.kept_log(run, "stage-2") is None
    assert max(everything(await api.list(CONFIG_MAP, namespace, labels="bodywork/record")).values()) < LIMIT
    await there.forget("iris")
    assert await gone(api, namespace)


async def test_names_that_make_the_same_label_stay_apart(here: ClusterRecords) -> None:
    for number, name in enumerate(["My_Proj", "my-proj"]):
        planned = a_plan(f"run-{number}", name=name)
        await here.begin(a_record(planned, number), planned)
        await here.add(planned.run, ended(5.0 + number), release=a_release(planned, number))
    assert await here.pipelines() == ["My_Proj", "my-proj"]
    assert [record.run for record in await here.runs("My_Proj")] == ["run-0"]
    assert [release.run for release in await here.releases("my-proj")] == ["run-1"]
    await here.forget("my-proj")
    assert await here.pipelines() == ["My_Proj"]


async def test_runs_are_found_by_the_beginning_of_their_id(here: ClusterRecords) -> None:
    for number in range(3):
        planned = a_plan(f"2026112{number}-060000-ab12")
        await here.begin(a_record(planned, number), planned)
    assert (await here.run("20261121")).started == 1
    assert [record.started for record in await here.runs("iris", limit=2)] == [2, 1]
    with pytest.raises(NotFoundError, match="20261 is the beginning of several runs, as of 20261122"):
        await here.run("20261")
    for none in ("", "2027", "no such run/"):
        with pytest.raises(NotFoundError, match=f"there is no run {none}"):
            await here.run(none)
    with pytest.raises(NotFoundError):
        await here.events("2026112")
    with pytest.raises(NotFoundError):
        await here.add("2026112", ended(1.0))
    planned = a_plan("20261121-060000-ab12")
    with pytest.raises(UsageError, match="there is a run 20261121-060000-ab12 already"):
        await here.begin(a_record(planned, 7.0), planned)


async def test_runs_that_nothing_needs_are_trimmed(here: ClusterRecords, api: Api, namespace: str) -> None:
    for number in range(6):
        planned = a_plan(f"run-{number}")
        await here.begin(a_record(planned, number), planned)
        await here.keep_log(planned.run, "stage-0", b"text\n")
        if number == 0:
            outputs = {"model": "file:old"}
            done = StageEnded(at=1.0, stage="train", state=StageState.SUCCEEDED, outputs=outputs)
            await here.add(planned.run, done)
        if number == 5:
            await here.add(planned.run, ended(9.0), release=a_release(planned, 9.0, "file:old"))
        elif number != 2:
            await here.add(planned.run, ended(9.0, RunState.FAILED))
    assert await here.trim("iris", Policy(keep=2)) == ["run-3", "run-1"]
    assert [record.run for record in await here.runs("iris")] == ["run-5", "run-4", "run-2", "run-0"]
    assert await here.trim("iris", Policy(keep=2)) == []
    for _ in range(100):
        names = everything(await api.list(CONFIG_MAP, namespace, labels="bodywork/record"))
        if len(names) == 8:
            break
        await asyncio.sleep(0.2)
    assert sorted(names) == sorted(f"{kind}-run-{n}{end}" for n in (0, 2, 4, 5) for kind, end in KINDS)


KINDS = (("run", ""), ("log", "-stage-0"))


@pytest.fixture
def as_account(api: Api, namespace: str, kubeconfig: Path, tmp_path: Path) -> Callable[[str], Any]:
    """Opens the cluster as an account that may do everything with ConfigMaps in its namespace only."""

    async def make(account: str) -> Api:
        place = {"name": account, "namespace": namespace}
        group = "rbac.authorization.k8s.io"
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]
        subject = {"kind": "ServiceAccount", **place}
        of = {"apiGroup": group, "kind": "Role", "name": account}
        for kind, more in (
            (SERVICE_ACCOUNT, {}),
            (ROLE, {"rules": rules}),
            (ROLE_BINDING, {"roleRef": of, "subjects": [subject]}),
        ):
            await api.create({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": place, **more})
        notes = {"annotations": {"kubernetes.io/service-account.name": account}}
        token = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
        await api.create({**token, "metadata": {**place, **notes}})
        found = ""
        async with aclosing(api.watch(SECRET, namespace, fields=f"metadata.name={account}")) as seen:
            async for one in seen:
                if one.object and (found := one.object.get("data", {}).get("token", "")):
                    break
        config = yaml.safe_load(kubeconfig.read_text())
        user = {"name": account, "user": {"token": base64.b64decode(found).decode()}}
        (context,) = (c for c in config["contexts"] if c["name"] == config["current-context"])
        context["context"]["user"] = account
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump({**config, "users": [user]}))
        return Api.open({**os.environ, "KUBECONFIG": str(path)})

    return make


async def test_who_may_look_into_one_namespace_only_is_told_to_name_it(
    as_account: Callable[[str], Any], namespace: str, run: str
) -> None:
    async with await as_account("narrow") as api:
        with pytest.raises(ForbiddenError, match="runs cannot be looked for in all namespaces") as caught:
            await ClusterRecords(api, THERE, namespace=None).runs("iris")
        assert "--namespace" in (caught.value.hint or "")
        (record,) = await ClusterRecords(api, THERE, namespace=namespace).runs("iris")
        assert record.run == run


async def test_runs_are_found_in_whichever_namespace_they_are(
    api: Api, namespace: str, here: ClusterRecords
) -> None:
    planned = a_plan(f"run-{namespace}", name=namespace)
    await here.begin(a_record(planned, 1.0), planned)
    anywhere = ClusterRecords(api, THERE)
    await anywhere.add(planned.run, ended(2.0))
    assert await anywhere.namespace(planned.run) == namespace
    assert (await anywhere.run(planned.run)).state is RunState.SUCCEEDED
    assert [record.run for record in await anywhere.runs(namespace)] == [planned.run]
    assert namespace in await anywhere.pipelines()
    again = a_plan(f"run-{namespace}-2", name=namespace)
    await anywhere.begin(a_record(again, 2.0), again)  # into the namespace of the pipeline's name
    assert await here.namespace(again.run) == namespace
