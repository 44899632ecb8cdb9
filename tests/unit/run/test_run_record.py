"""What is written down is read back as the very same thing."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodywork.run import events
from bodywork.run.plan import Action, Plan, PlannedStage, Removal, Source
from bodywork.run.record import EVENTS, decode_event, decode_plan, encode_event, encode_plan
from bodywork.run.states import RunState, StageState
from bodywork.spec.model import (
    Batch,
    Input,
    Output,
    Project,
    Requirements,
    Resources,
    Schedule,
    SecretVariable,
    Service,
    Stage,
)
from workflows import batch, plan

TEXT = st.text(max_size=8)
NUMBER = st.floats(min_value=0, max_value=1e12, allow_nan=False)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)


def some(kind: Any, **fields: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, **fields)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def many(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=2).map(tuple)


ENDS = {
    "outputs": TEXTS,
    "exit_code": maybe(st.integers(-64, 255)),
    "peak_memory": maybe(st.integers(0, 2**50)),
    "cpu_seconds": maybe(NUMBER),
}
ANY_EVENT = st.one_of(
    some(events.RunStarted, at=NUMBER, run=TEXT, resumed=st.booleans()),
    some(events.StagePreparing, at=NUMBER, stage=TEXT),
    some(events.StagePrepared, at=NUMBER, stage=TEXT),
    some(events.StageStarted, at=NUMBER, stage=TEXT, attempt=st.integers(1), handle=TEXT),
    some(events.StageWaiting, at=NUMBER, stage=TEXT, reason=TEXT),
    some(events.StageOutput, at=NUMBER, stage=TEXT, text=TEXT),
    some(events.StageRetrying, at=NUMBER, stage=TEXT, attempt=st.integers(1), delay=NUMBER, reason=TEXT),
    some(events.StageEnded, at=NUMBER, stage=TEXT, state=st.sampled_from(StageState), reason=TEXT, **ENDS),
    some(events.ServiceRemoved, at=NUMBER, stage=TEXT, reason=TEXT),
    some(events.RunEnded, at=NUMBER, state=st.sampled_from(RunState), reason=TEXT),
)
STAGE = some(
    Stage,
    name=TEXT,
    object_name=TEXT,
    run=TEXT,
    args=many(TEXT),
    python=TEXT,
    image=maybe(TEXT),
    requirements=some(Requirements, packages=many(TEXT), file=maybe(TEXT)),
    env=TEXTS,
    secrets=many(some(SecretVariable, variable=TEXT, secret=TEXT)),
    resources=some(Resources, cpu=maybe(NUMBER), memory=maybe(st.integers(0)), gpu=maybe(st.integers(0))),
    outputs=many(some(Output, name=TEXT, file=TEXT)),
    inputs=many(some(Input, name=TEXT, stage=TEXT, output=TEXT)),
    does=some(Batch, timeout=maybe(NUMBER), retries=st.integers(0, 9))
    | some(Service, port=st.integers(1, 65535), health=maybe(TEXT), route=maybe(TEXT)),
    after=st.frozensets(TEXT, max_size=3),
    host_names=many(TEXT),
)
PLANNED = some(
    PlannedStage,
    stage=STAGE,
    action=st.sampled_from(Action),
    reason=TEXT,
    environment=TEXT,
    fingerprint=TEXT,
    inputs=TEXTS,
    parts=TEXTS,
)
PROJECT = some(
    Project,
    name=TEXT,
    object_name=TEXT,
    version=st.sampled_from(["1.0", "1.1", "2"]),
    stages=many(STAGE),
    steps=many(many(TEXT)),
    unused=many(TEXT),
    on_failure=maybe(STAGE),
    schedule=maybe(some(Schedule, cron=TEXT, timezone=TEXT)),
    store=maybe(TEXT),
    setuptools=st.booleans(),
    secrets_group=maybe(TEXT),
)
PLAN = some(
    Plan,
    run=TEXT,
    target=TEXT,
    project=PROJECT,
    source=some(Source, repository=TEXT, ref=TEXT, commit=TEXT, file=TEXT, folder=TEXT, files=TEXT),
    stages=many(PLANNED),
    on_failure=maybe(PLANNED),
    removals=many(some(Removal, service=TEXT, reason=TEXT)),
)


@given(ANY_EVENT)
def test_an_event_comes_back_as_it_was(event: events.Event) -> None:
    text = encode_event(event)
    back = decode_event(text)
    assert back == event
    assert type(back) is type(event)
    assert text.isascii()
    assert "\n" not in text


@settings(max_examples=60, deadline=None)
@given(PLAN)
def test_a_plan_comes_back_as_it_was(planned: Plan) -> None:
    back = decode_plan(encode_plan(planned))
    assert back == planned
    assert all(isinstance(item.action, Action) for item in back.stages)
    assert encode_plan(back) == encode_plan(planned)


def test_every_kind_of_event_can_be_recorded() -> None:
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type)}
    assert set(EVENTS.values()) == {k for k in kinds if issubclass(k, events.Event)} - {events.Event}


def test_a_wide_step_after_a_wide_step_is_written_in_proportion() -> None:
    names = frozenset(f"a{i}" for i in range(300))
    small = encode_plan(plan(*(batch(name) for name in names)))
    large = encode_plan(plan(*(batch(n) for n in names), *(batch(f"b{i}", names) for i in range(300))))
    assert len(large) < 3 * len(small)


@pytest.mark.parametrize(
    "text", ["", "null", "{}", '{"event":"Unheard"}', '{"event":"RunEnded","at":1}', "[1]"]
)
def test_what_is_no_event_or_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an event of a run"):
        decode_event(text)
    with pytest.raises(ValueError, match="not a plan of a run"):
        decode_plan(text)


def test_reading_events_loads_neither_the_model_nor_its_checks() -> None:
    """`status` and `logs` answer at once."""
    code = "import sys, bodywork.history; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "bodywork.run.record" in loaded
    assert not {"pydantic", "yaml", "rich", "bodywork.spec.model", "bodywork.run.plan"} & set(loaded)
