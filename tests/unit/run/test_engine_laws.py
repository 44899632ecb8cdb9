"""What holds for every run: any graph, any outcome, any order of events, any moment of a crash."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodywork.run.engine import execute
from bodywork.run.events import Event, RunStarted, StageEnded, StageOutput, StageStarted
from bodywork.run.plan import Plan
from bodywork.run.record import decode_event, encode_event
from bodywork.run.replay import RunView
from bodywork.run.states import RunState, StageState
from bodywork.spec.model import Stage
from bodywork.testing import Act, FakeClock, FakeTarget, Script
from workflows import Ran, batch, plan, run, service

LAW = settings(max_examples=40, deadline=None)
Case = tuple[Plan, dict[str, Script]]

ACT = st.builds(
    Act,
    starts=st.sampled_from([0.0, 0.0, 0.0, 4.0]),
    takes=st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]),
    exit_code=st.sampled_from([0, 0, 0, 1]),
    prints=st.sampled_from([(), ("a line\n",), ("one\n", "two\n")]),
    ignores_term=st.booleans(),
    start_error=st.sampled_from(["", "", "", "", "", "cannot be started"]),
)
SCRIPT = st.builds(
    Script,
    prepare=st.sampled_from([0.0, 0.0, 3.0]),
    acts=st.lists(ACT, min_size=1, max_size=3).map(tuple),
)


@st.composite
def graphs(draw: st.DrawFn) -> list[Stage]:
    """Any graph without cycles."""
    stages: list[Stage] = []
    for number in range(draw(st.integers(1, 7))):
        after = draw(st.sets(st.sampled_from([s.name for s in stages]))) if stages else set()
        stages.append(one(draw, f"s{number}", frozenset(after), [s for s in stages if s.name in after]))
    return stages


@st.composite
def steps(draw: st.DrawFn) -> list[Stage]:
    """A sequence of steps, each after all of the one before."""
    stages: list[Stage] = []
    before: list[Stage] = []
    for number in range(draw(st.integers(1, 3))):
        after = frozenset(stage.name for stage in before)
        before = [
            one(draw, f"s{number}{letter}", after, before) for letter in "abc"[: draw(st.integers(1, 3))]
        ]
        stages += before
    return stages


def one(draw: st.DrawFn, name: str, after: frozenset[str], before: list[Stage]) -> Stage:
    readable = [stage.name for stage in before if stage.outputs]
    inputs = f"{draw(st.sampled_from(readable))}.x" if readable and draw(st.booleans()) else ""
    if draw(st.integers(0, 3)) == 0:
        return service(name, after, inputs=inputs, startup_timeout=5.0)
    timeout = draw(st.sampled_from([None, None, 5.0]))
    return batch(name, after, inputs=inputs, outputs="x", timeout=timeout, retries=draw(st.integers(0, 2)))


def cases(shape: st.SearchStrategy[list[Stage]]) -> st.SearchStrategy[Case]:
    @st.composite
    def build(draw: st.DrawFn) -> Case:
        stages = draw(shape)
        handler = batch("tell") if draw(st.booleans()) else None
        every = [*stages, handler] if handler else stages
        return plan(*stages, on_failure=handler), {stage.name: draw(SCRIPT) for stage in every}

    return build()


def recorded(events: list[Event]) -> list[Event]:
    """What another command would read of them."""
    return [decode_event(encode_event(event)) for event in events if not isinstance(event, StageOutput)]


def view(planned: Plan, *of: list[Event]) -> RunView:
    run_view = RunView([item.stage.name for item in planned.all_stages], "tell")
    for events in of:
        run_view.replay(events)
    return run_view


def states(run_view: RunView) -> dict[str, StageState]:
    return {name: stage.state for name, stage in run_view.stages.items()}


def check_order(planned: Plan, events: list[Event], done: frozenset[str] = frozenset()) -> None:
    """No attempt starts before everything that its stage comes after has ended well."""
    good = set(done)
    for event in events:
        if isinstance(event, StageEnded) and event.state.good:
            good.add(event.stage)
        elif isinstance(event, StageStarted):
            assert planned.stage(event.stage).stage.after <= good


def check_left(ran: Ran) -> None:
    assert ran.error is None
    assert ran.target.running == []
    assert ran.target.calls[-1].what == "close"


@LAW
@given(cases(graphs()), st.booleans())
def test_every_run_keeps_the_order_and_comes_to_its_end(case: Case, fail_fast: bool) -> None:
    planned, scripts = case
    ran = run(planned, scripts, fail_fast=fail_fast)
    check_left(ran)
    check_order(planned, ran.events)
    assert set(ran.states) == {item.stage.name for item in planned.all_stages}  # each ends exactly once
    workflow = [ran.ended(item.stage.name).state for item in planned.stages]
    assert (ran.state is RunState.SUCCEEDED) == all(state.good for state in workflow)
    assert not {StageState.PENDING, StageState.RUNNING} & set(workflow)
    if planned.on_failure:
        assert ("tell" in ran.target.started) <= (ran.state is RunState.FAILED)


@LAW
@given(cases(graphs()))
def test_what_has_started_finishes_when_something_else_fails(case: Case) -> None:
    planned, scripts = case
    ran = run(planned, scripts)
    started = {event.stage for event in ran.events if isinstance(event, StageStarted)}
    assert {ran.states[name] for name in started} <= {"succeeded", "failed"}
    assert "stop" not in {c.what for c in ran.target.calls} or any(
        "did not end within" in e.reason or "was not ready within" in e.reason
        for e in ran.events
        if hasattr(e, "reason")
    )


@LAW
@given(cases(graphs()))
def test_attempts_are_never_more_than_asked_for(case: Case) -> None:
    planned, scripts = case
    ran = run(planned, scripts)
    for item in planned.all_stages:
        does = item.stage.does
        assert ran.target.started.count(item.stage.name) <= 1 + getattr(does, "retries", 0)


@LAW
@given(cases(graphs()), st.integers(0, 60))
def test_cancelling_at_any_event_leaves_nothing_running(case: Case, moment: int) -> None:
    planned, scripts = case
    seen = iter(range(10_000))
    ran = run(planned, scripts, cancel_when=lambda _: next(seen) == moment)
    check_left(ran)
    check_order(planned, ran.events)
    assert set(ran.states) == {item.stage.name for item in planned.all_stages}
    if "cancelled" in ran.states.values():
        assert ran.state is RunState.CANCELLED or ran.states.get("tell") == "cancelled"


@LAW
@given(cases(graphs()), st.integers(0, 60))
def test_closing_at_any_event_leaves_nothing_running(case: Case, moment: int) -> None:
    planned, scripts = case
    clock = FakeClock()
    target = FakeTarget(clock, scripts)

    async def work() -> None:
        events = execute(planned, target, clock=clock)
        async for _ in events:
            nonlocal moment
            moment -= 1
            if moment < 0:
                break
        running = set(target.running)
        await events.aclose()
        assert running <= {f"{call.stage}/{call.attempt}" for call in target.calls if call.what == "stop"}

    asyncio.run(clock.drive(work()))
    assert target.running == []
    assert target.calls[-1].what == "close"


@settings(max_examples=25, deadline=None)
@given(cases(steps()))
def test_resuming_after_any_crash_ends_as_if_nothing_had_happened(case: Case) -> None:
    planned, scripts = case
    whole = recorded(run(planned, scripts).events)
    final = view(planned, whole)
    for crash in range(len(whole) + 1):
        past = whole[:crash]
        ran = run(planned, scripts, past=past)
        check_left(ran)
        before = view(planned, past)
        kept = {name for name, stage in before.stages.items() if stage.state.good}
        if not before.state.ended:
            assert not kept & set(ran.target.started)
        assert not (kept - {"tell"}) & set(ran.target.started)
        assert ran.target.cleaned == before.unfinished()
        check_order(planned, ran.events, frozenset(kept))
        after = view(planned, past, ran.events)
        assert after.state is final.state
        assert states(after) == states(final)
        outputs = {name: stage.outputs for name, stage in after.stages.items()}
        assert outputs == {name: stage.outputs for name, stage in final.stages.items()}


@settings(max_examples=25, deadline=None)
@given(cases(graphs()), st.data())
def test_any_number_of_crashes_never_repeats_a_success(case: Case, data: st.DataObject) -> None:
    """Any graph; crashes come one after the other, also in what resumes."""
    planned, scripts = case
    past: list[Event] = []
    for _ in range(4):
        events = recorded(run(planned, scripts, past=past).events)
        past += events[: data.draw(st.integers(0, len(events)))]
    ran = run(planned, scripts, past=past)
    every = past + recorded(ran.events)
    for item in planned.stages:
        mine = [e for e in every if isinstance(e, StageEnded) and e.stage == item.stage.name]
        good = [position for position, event in enumerate(mine) if event.state.good]
        assert good in ([], [len(mine) - 1])
    straight = run(planned, scripts)
    assert ran.state is straight.state


def test_a_run_of_services_and_batch_stages_crashing_everywhere() -> None:
    """One case that always has everything in it."""
    stages = [
        batch("a", outputs="x", retries=2, timeout=3.0),
        service("b"),
        batch("c", "ab", inputs="a.x", timeout=5.0),
        service("d", "c", inputs="a.x"),
    ]
    scripts = {
        "a": Script(acts=(Act(exit_code=1), Act(takes=None, exit_code=1), Act())),
        "c": Script(prepare=2, acts=(Act(takes=4, prints=("x\n",)),)),
    }
    planned = plan(*stages, on_failure=batch("tell"))
    whole = recorded(run(planned, scripts).events)
    assert len(whole) > 15
    for crash in range(len(whole)):
        ran = run(planned, scripts, past=whole[:crash])
        assert ran.state is RunState.SUCCEEDED
        assert ran.events[0] == RunStarted(at=ran.events[0].at, run="run-1", resumed=crash > 0)
        assert states(view(planned, whole[:crash], ran.events)) == states(view(planned, whole))


@pytest.mark.parametrize("fail_fast", [False, True])
def test_a_failure_in_each_place_of_a_step(fail_fast: bool) -> None:
    for failing in "abc":
        scripts = {failing: Script(acts=(Act(exit_code=1),))}
        for name in set("abc") - {failing}:
            scripts[name] = Script(acts=(Act(takes=9),))
        ran = run(plan(*map(batch, "abc"), batch("d", "abc")), scripts, fail_fast=fail_fast)
        others = {ran.states[name] for name in set("abc") - {failing}}
        assert others == ({"cancelled"} if fail_fast else {"succeeded"})
        assert ran.states["d"] == "skipped"
