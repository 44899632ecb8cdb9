"""What a run's record is made of: every object small, every text read back as it was."""

import json
import random
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bodywork.run.events import Event, RunEnded, RunStarted, StageEnded, StagePrepared
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.states import RunState, StageState
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.records import entries, run_objects
from workflows import batch, plan, service

LIMIT = 100_000
RECORD = RunRecord(
    run="20261123-060000-ab12",
    pipeline="iris",
    target="kubernetes:one",
    repository="https://git.example/iris",
    ref="main",
    commit="c0ffee" + "0" * 34,
    state=RunState.RUNNING,
    started=1.5,
    ended=None,
    kind="deploy",
    reason="",
)


def big_plan(stages: int) -> Any:
    made = [batch(f"stage_{n}", env={"A": random.Random(n).randbytes(40).hex()}) for n in range(stages)]
    return replace(plan(*made), run=RECORD.run)


def as_in_the_cluster(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "uid": "u-1", "resourceVersion": "1"}}


def test_a_small_plan_is_in_the_object_of_the_record() -> None:
    small = replace(plan(batch("a")), run=RECORD.run)
    (main,) = run_objects.first(RECORD, small, "iris")
    assert main["metadata"]["name"] == f"run-{RECORD.run}"
    assert (
        main["metadata"]["labels"].items()
        >= {
            "bodywork/record": "run",
            labels.RUN: RECORD.run,
            labels.PIPELINE: "iris",
        }.items()
    )
    assert run_objects.plan_of([main], "kubernetes") == replace(small, target="kubernetes")
    assert run_objects.record_of(main, "kubernetes") == replace(RECORD, target="kubernetes")
    assert run_objects.plan_names(main) == []


def test_a_record_that_is_applied_again_does_not_undo_what_the_run_has_written() -> None:
    small = replace(plan(batch("a")), run=RECORD.run)
    (rendered,) = run_objects.first(RECORD, small, "iris", key=run_objects.RENDERED)
    (written,) = run_objects.first(replace(RECORD, state=RunState.SUCCEEDED), small, "iris")
    assert run_objects.record_of(rendered, "kubernetes").state is RunState.RUNNING
    both = {**written, "data": written["data"] | rendered["data"]}
    assert run_objects.record_of(both, "kubernetes").state is RunState.SUCCEEDED


def test_a_plan_of_1000_stages_is_split_and_put_together_again() -> None:
    big = big_plan(1_000)
    *parts, main = run_objects.first(RECORD, big, "iris")
    assert len(parts) > 1
    assert [part["metadata"]["name"] for part in parts] == run_objects.plan_names(main)
    assert all(len(json.dumps(obj)) < LIMIT for obj in (*parts, main))
    assert run_objects.plan_of(parts, big.target) == big


@given(
    st.dictionaries(st.text("abc", min_size=1), st.text() | st.text(min_size=1).map(lambda one: one * 4_000))
)
def test_texts_come_back_as_they_were(texts: dict[str, str]) -> None:
    obj = entries.packed(texts)
    assert {key: entries.text_of(obj, key) for key in entries.contents(obj)} == texts


@given(st.binary(max_size=300), st.integers(1, 50))
def test_what_is_split_is_joined_again(content: bytes, size: int) -> None:
    values = [entries.base64.b64encode(part).decode() for part in entries.split(content, size)]
    assert entries.joined(values) == content


def test_events_come_back_in_their_order_whatever_the_order_of_the_objects() -> None:
    (main,) = run_objects.first(RECORD, replace(plan(batch("a")), run=RECORD.run), "iris")
    events: list[Event] = [StagePrepared(at=float(n), stage="a") for n in range(30)]
    texts = {entries.event_key(n): run_objects.encode_short(event) for n, event in enumerate(events, 1)}
    early, late = dict(list(texts.items())[:9]), dict(list(texts.items())[9:])
    later = run_objects.chunk(as_in_the_cluster(main), 1, late)
    assert run_objects.events_of([later, {**main, **entries.packed(early)}]) == events
    assert later["metadata"]["ownerReferences"][0]["name"] == main["metadata"]["name"]
    assert later["metadata"]["labels"]["bodywork/record"] == "events"
    assert main["metadata"]["labels"]["bodywork/record"] == "run"


def test_an_object_is_full_long_before_it_is_too_big() -> None:
    obj: dict[str, Any] = {}
    number = 0
    while not entries.full(obj):
        number += 1
        ended = StageEnded(at=float(number), stage=f"stage_{number}", state=StageState.SUCCEEDED)
        added = entries.packed({entries.event_key(number): run_objects.encode_short(ended)})
        obj = {"data": {**obj.get("data", {}), **added["data"]}}
    assert number > 30
    assert len(json.dumps(obj)) < LIMIT / 3


def test_the_longest_event_stays_small() -> None:
    reason = "".join(random.Random(1).choices("abcdefghij ", k=500_000))
    end = RunEnded(at=1.0, state=RunState.FAILED, reason=reason)
    obj = entries.packed({"00000001": run_objects.encode_short(end)})
    assert len(json.dumps(obj)) < 10_000
    (read,) = run_objects.events_of([obj])
    assert isinstance(read, RunEnded)
    assert read.reason.startswith(reason[:100])
    assert read.reason.endswith(reason[-100:])
    assert len(run_objects.following(RECORD, end).reason) < 10_000


def test_a_release_of_1000_services_stays_small_and_comes_back() -> None:
    digests = {f"s{n}": {"model": f"file:{random.Random(n).randbytes(32).hex()}"} for n in range(1_000)}
    release = Release(pipeline="iris", target="kubernetes:one", run="r", commit="c", at=2.0, services=digests)
    obj = entries.packed({"release": run_objects.encode_release(release)})
    assert len(json.dumps(obj)) < 65_000
    assert run_objects.release_of(obj, "k") == replace(release, target="k")


def test_the_record_follows_the_events() -> None:
    ended = run_objects.following(RECORD, RunEnded(at=9.0, state=RunState.FAILED, reason="train failed"))
    assert (ended.state, ended.ended, ended.reason) == (RunState.FAILED, 9.0, "train failed")
    again = run_objects.following(ended, RunStarted(at=10.0, run=RECORD.run, resumed=True))
    assert again == RECORD
    assert run_objects.following(RECORD, StagePrepared(at=1.0, stage="a")) is RECORD


def test_what_a_later_version_adds_to_a_record_is_passed_over() -> None:
    (main,) = run_objects.first(RECORD, replace(plan(service("a")), run=RECORD.run), "iris")
    main["data"]["record"] = json.dumps({**json.loads(main["data"]["record"]), "colour": "red"})
    assert run_objects.record_of(main, RECORD.target) == RECORD


@given(st.binary(max_size=300), st.integers(1, 1_000))
def test_a_log_is_the_end_of_the_output(text: bytes, times: int) -> None:
    text *= times
    kept = run_objects.end_of(text)
    assert text.endswith(kept)
    assert len(kept) <= run_objects.LOG_SIZE
    assert len(text) > run_objects.LOG_SIZE or kept == text


def test_a_log_is_cut_at_a_line_and_small_even_if_it_cannot_be_compressed() -> None:
    lines = b"\n".join(b"line %06d" % n for n in range(20_000)) + b"\n"
    kept = run_objects.end_of(lines)
    assert kept.startswith(b"line ")
    assert len(kept) > run_objects.LOG_SIZE - 20
    (main,) = run_objects.first(RECORD, replace(plan(batch("a")), run=RECORD.run), "iris")
    noise = run_objects.log(as_in_the_cluster(main), "a", random.Random(1).randbytes(300_000))
    assert len(json.dumps(noise)) < LIMIT
