"""The rules of a run, one by one, in the order of the design."""

import asyncio
import contextlib
import json
import time
from contextlib import aclosing
from typing import Any

import pytest

from bodywork.errors import UnreachableError
from bodywork.run.engine import execute
from bodywork.run.events import (
    RunStarted,
    ServiceRemoved,
    StageEnded,
    StageOutput,
    StagePrepared,
    StagePreparing,
    StageRetrying,
    StageStarted,
    StageWaiting,
)
from bodywork.run.plan import Plan as PlanType
from bodywork.run.plan import PlannedStage
from bodywork.run.states import RunState
from bodywork.targets.base import Handle
from bodywork.testing import Act, FakeClock, FakeTarget, Script
from workflows import batch, plan, run, running, service

OK = Act()
BAD = Act(exit_code=3)
HANGS = Script(acts=(Act(takes=None),))


def acts(*of: Act) -> Script:
    return Script(acts=of)


class TestOrder:
    def test_a_step_starts_together_and_after_all_of_the_one_before(self) -> None:
        stages = [batch("a"), batch("b"), batch("c", "ab"), service("d", "ab"), batch("e", "cd")]
        ran = run(plan(*stages), {"a": acts(Act(takes=5)), "d": acts(Act(takes=3))})
        assert ran.state is RunState.SUCCEEDED
        assert [ran.at("start", name) for name in "abcde"] == [[0], [0], [5], [5], [8]]

    def test_everything_is_prepared_at_once_and_a_stage_waits_for_its_own_preparation_only(self) -> None:
        stages = [batch("a"), batch("b", "a"), batch("c", "a")]
        ran = run(plan(*stages), {"b": Script(prepare=30)})
        assert [ran.at("prepare", name) for name in "abc"] == [[0], [0], [0]]
        assert [ran.at("start", name) for name in "abc"] == [[0], [30], [1]]
        first = [event.stage for event in ran.events[1:4] if isinstance(event, StagePreparing)]
        assert first == ["a", "b", "c"]

    def test_events_come_in_the_order_in_which_they_happen(self) -> None:
        ran = run(plan(batch("a")), {"a": acts(Act(prints=("hello\n",)))})
        kinds = [type(event).__name__ for event in ran.events]
        assert kinds == [
            "RunStarted", "StagePreparing", "StagePrepared", "StageStarted", "StageOutput", "StageEnded",
            "RunEnded",
        ]  # fmt: skip
        assert [event.at for event in ran.events] == sorted(event.at for event in ran.events)

    def test_the_target_is_given_back_at_the_end(self) -> None:
        ran = run(plan(batch("a")))
        assert [call.what for call in ran.target.calls][-1] == "close"

    def test_stages_that_never_come_due_are_a_bug_and_no_endless_wait(self) -> None:
        ran = run(plan(batch("a", "b"), batch("b", "a")))
        assert "never came due" in str(ran.error)


class TestFailure:
    def test_siblings_finish_and_nothing_after_them_starts(self) -> None:
        stages = [batch("a"), batch("b"), batch("c", "ab"), service("d", "c")]
        ran = run(plan(*stages), {"a": acts(BAD), "b": acts(Act(takes=60))})
        assert ran.states == {"a": "failed", "b": "succeeded", "c": "skipped", "d": "skipped"}
        assert (ran.ended("a").reason, ran.ended("a").exit_code) == ("exited with 3", 3)
        assert ran.ended("d").reason == "a failed"
        assert (ran.state, ran.end.reason) == (RunState.FAILED, "a failed: exited with 3")

    def test_a_sibling_that_is_still_being_prepared_runs_all_the_same(self) -> None:
        """Whether its environment is in the cache may not decide about what a run does."""
        ran = run(plan(batch("a"), batch("b")), {"a": acts(BAD), "b": Script(prepare=60)})
        assert ran.states == {"a": "failed", "b": "succeeded"}

    def test_fail_fast_stops_the_siblings(self) -> None:
        stages = [batch("a"), batch("b"), batch("c"), batch("d", "a")]
        scripts = {"a": acts(BAD), "b": HANGS, "c": Script(prepare=60)}
        ran = run(plan(*stages), scripts, fail_fast=True)
        assert ran.states == {"a": "failed", "b": "cancelled", "c": "skipped", "d": "skipped"}
        assert "a failed" in ran.ended("b").reason
        assert ran.target.running == []
        assert ran.state is RunState.FAILED

    def test_a_stage_that_cannot_be_prepared_fails_at_once(self) -> None:
        scripts = {"a": acts(Act(takes=10)), "b": Script(prepare=2, prepare_error="numpy does not build")}
        ran = run(plan(batch("a"), batch("b", "a"), batch("c", "b")), scripts)
        assert ran.states == {"b": "failed", "c": "skipped", "a": "succeeded"}
        assert ran.ended("b").reason == "numpy does not build"
        assert ran.ended("b").at - ran.events[0].at == 2

    def test_a_stage_that_cannot_be_started_fails(self) -> None:
        ran = run(plan(batch("a", retries=3)), {"a": acts(Act(start_error="no such module"))})
        assert ran.ended("a").reason == "no such module"
        assert ran.target.started == ["a"]

    def test_several_failures_are_all_named(self) -> None:
        ran = run(plan(batch("a"), batch("b")), {"a": acts(BAD), "b": acts(BAD)})
        assert ran.end.reason == "a failed: exited with 3; b failed: exited with 3"


class TestOnFailure:
    TELL = batch("tell")

    def test_it_runs_last_and_is_told_what_failed(self) -> None:
        scripts = {"a": acts(BAD), "b": acts(Act(takes=60))}
        ran = run(plan(batch("a"), batch("b"), on_failure=self.TELL), scripts)
        assert ran.at("start", "tell") == [60]
        (call,) = [c for c in ran.target.calls if (c.what, c.stage) == ("start", "tell")]
        assert json.loads(call.variables["BODYWORK_FAILURE"]) == {
            "pipeline": "iris",
            "run": "run-1",
            "commit": "c0ffee" + "0" * 34,
            "stage": "a",
            "reason": "exited with 3",
        }
        assert call.variables["EXCEPTION_MESSAGE"] == "stage a failed: exited with 3"
        assert ran.state is RunState.FAILED

    def test_its_own_failure_is_reported_and_changes_nothing(self) -> None:
        ran = run(plan(batch("a"), on_failure=self.TELL), {"a": acts(BAD), "tell": acts(BAD)})
        assert ran.states == {"a": "failed", "tell": "failed"}
        assert ran.end.reason == "a failed: exited with 3"

    def test_it_does_not_run_when_all_is_well(self) -> None:
        ran = run(plan(batch("a"), on_failure=self.TELL), {"tell": Script(prepare=600)})
        assert ran.states == {"a": "succeeded", "tell": "skipped"}
        assert ran.events[-1].at - ran.events[0].at == 1  # nobody waits for its packages

    def test_it_does_not_run_when_the_run_is_cancelled(self) -> None:
        planned = plan(batch("a"), on_failure=self.TELL)
        ran = run(planned, {"a": HANGS}, cancel_when=lambda e: isinstance(e, StageStarted))
        assert ran.states == {"a": "cancelled", "tell": "skipped"}

    def test_it_runs_with_retries_after_fail_fast(self) -> None:
        planned = plan(batch("a"), batch("b"), on_failure=batch("tell", retries=1))
        ran = run(planned, {"a": acts(BAD), "b": HANGS, "tell": acts(BAD, OK)}, fail_fast=True)
        assert ran.states == {"a": "failed", "b": "cancelled", "tell": "succeeded"}


class TestRetries:
    def test_pauses_double_up_to_a_minute(self) -> None:
        ran = run(plan(batch("a", retries=8)), {"a": acts(*[Act(takes=0, exit_code=1)] * 9)})
        delays = [event.delay for event in ran.events if isinstance(event, StageRetrying)]
        assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
        assert ran.target.started == ["a"] * 9
        assert ran.states == {"a": "failed"}

    @pytest.mark.parametrize(("jitter", "delay"), [(0.0, 0.75), (1.0, 1.25)])
    def test_pauses_are_spread_by_a_quarter(self, jitter: float, delay: float) -> None:
        ran = run(plan(batch("a", retries=1)), {"a": acts(BAD, OK)}, jitter=jitter)
        assert [e.delay for e in ran.events if isinstance(e, StageRetrying)] == [delay]
        assert ran.state is RunState.SUCCEEDED

    def test_attempts_are_numbered_and_each_has_its_handle(self) -> None:
        ran = run(plan(batch("a", retries=2)), {"a": acts(BAD, BAD, OK)})
        started = [(e.attempt, e.handle) for e in ran.events if isinstance(e, StageStarted)]
        assert started == [(1, "a/1"), (2, "a/2"), (3, "a/3")]

    def test_what_another_attempt_cannot_mend_is_not_tried_again(self) -> None:
        ran = run(plan(batch("a", retries=5)), {"a": acts(Act(exit_code=1, retry=False))})
        assert ran.target.started == ["a"]

    def test_retries_go_on_when_a_sibling_has_failed(self) -> None:
        stages = [batch("a"), batch("b", retries=1)]
        ran = run(plan(*stages), {"a": acts(BAD), "b": acts(Act(takes=9, exit_code=1), OK)})
        assert ran.states == {"a": "failed", "b": "succeeded"}


class TestTimeLimits:
    def test_a_batch_stage_is_stopped_and_tried_again(self) -> None:
        ran = run(plan(batch("a", timeout=1200, retries=1)), {"a": acts(Act(takes=None), OK)})
        reasons = [event.reason for event in ran.events if isinstance(event, StageRetrying)]
        assert reasons == ["did not end within 20m (batch.timeout); its processes were stopped"]
        assert ran.states == {"a": "succeeded"}
        assert ran.at("start", "a") == [0, 1201]

    def test_the_limit_is_of_the_module_and_not_of_its_preparation(self) -> None:
        ran = run(plan(batch("a", timeout=5)), {"a": Script(prepare=600, acts=(Act(takes=4),))})
        assert ran.state is RunState.SUCCEEDED

    def test_the_limit_is_of_the_module_and_not_of_what_keeps_its_outputs(self) -> None:
        ran = run(plan(batch("a", outputs="x", timeout=5)), {"a": acts(Act(takes=4, keeps=600))})
        assert ran.states == {"a": "succeeded"}

    def test_one_that_ignores_term_is_still_ended(self) -> None:
        ran = run(plan(batch("a", timeout=5)), {"a": acts(Act(takes=None, ignores_term=True))})
        assert ran.ended("a").at - ran.events[0].at == 15
        assert ran.target.running == []

    def test_what_is_waited_for_is_said_once_and_does_not_count(self) -> None:
        waits = ("no node has room", "no node has room", "the image is being pulled")
        ran = run(plan(batch("a", timeout=2)), {"a": acts(Act(waits=waits))})
        assert [e.reason for e in ran.events if isinstance(e, StageWaiting)] == [waits[0], waits[2]]
        assert ran.state is RunState.SUCCEEDED

    def test_a_module_that_was_lost_has_its_whole_time_again_and_no_retry_less(self) -> None:
        act = Act(takes=4, prints=("one\n", "two\n"), lost="node a is not ready")
        ran = run(plan(batch("a", timeout=4)), {"a": acts(act)})
        kinds = [type(event).__name__ for event in ran.events]
        assert kinds[3:-1] == [
            "StageStarted", "StageOutput", "StageWaiting", "StageStarted", "StageOutput", "StageEnded",
        ]  # fmt: skip
        assert ran.states == {"a": "succeeded"}
        assert ran.target.started == ["a"]

    def test_each_replica_has_its_whole_time(self) -> None:
        slow = {"a": acts(Act(takes=4, replicas=3))}
        ran = run(plan(service("a", startup_timeout=5.0)), slow)
        assert (ran.states, ran.ended("a").at - ran.events[0].at) == ({"a": "succeeded"}, 12)
        assert [type(event).__name__ for event in ran.events].count("StageStarted") == 1
        ran = run(plan(service("a", startup_timeout=3.0)), slow)
        assert ran.states == {"a": "failed"}

    def test_a_service_that_is_never_ready_says_what_it_printed(self) -> None:
        lines = tuple(f"line {number}\n" for number in range(30))
        script = acts(Act(takes=300, prints=lines))
        ran = run(plan(service("a", startup_timeout=120)), {"a": script})
        reason = ran.ended("a").reason
        assert reason.startswith(
            "was not ready within 2m (service.startup_timeout): it listens on no port; "
            "the last that it printed:\n"
        )
        assert reason.endswith("\n  line 10\n  line 11")
        assert ran.end.reason.startswith("a failed: was not ready within 2m")
        assert "\n" not in ran.end.reason

    def test_a_service_that_ends_before_it_is_ready_fails_at_once(self) -> None:
        ran = run(plan(service("a", startup_timeout=120)), {"a": acts(BAD)})
        assert ran.ended("a").at - ran.events[0].at == 1


class TestServices:
    STAGES = (
        batch("choose", outputs="model"),
        service("serve", ["choose"], inputs="choose.model"),
    )

    def second(self, digest: str, **observed: object) -> tuple[PlanType, FakeTarget]:
        first = plan(*self.STAGES)
        there = {"serve": running(first, "serve", inputs={"model": "m1"}, **observed)}
        scripts = {"choose": acts(Act(outputs={"model": digest}))}
        return plan(*self.STAGES, observed=there), FakeTarget(FakeClock(), scripts, services=there)

    def test_outputs_become_inputs(self) -> None:
        ran = run(plan(*self.STAGES), {"choose": acts(Act(outputs={"model": "m1"}))})
        assert ran.ended("choose").outputs == {"model": "m1"}
        assert ran.target.services["serve"].inputs == {"model": "m1"}
        assert ran.ended("serve").reason == "not deployed yet"

    def test_a_service_whose_inputs_came_out_the_same_is_left_alone(self) -> None:
        planned, target = self.second("m1")
        ran = run(planned, target=target)
        assert ran.states == {"choose": "succeeded", "serve": "unchanged"}
        assert ran.ended("serve").reason == "same files, packages, settings and inputs"
        assert target.started == ["choose"]
        assert ran.state is RunState.SUCCEEDED

    def test_a_service_whose_inputs_changed_is_replaced_and_the_reason_given(self) -> None:
        planned, target = self.second("m2")
        ran = run(planned, target=target)
        assert (ran.ended("serve").state, ran.ended("serve").reason) == ("succeeded", "choose.model changed")
        assert target.services["serve"].inputs == {"model": "m2"}

    def test_a_service_that_has_gone_since_the_plan_is_deployed_again(self) -> None:
        first = plan(service("serve"))
        planned = plan(service("serve"), observed={"serve": running(first, "serve")})
        ran = run(planned)
        assert (ran.ended("serve").state, ran.ended("serve").reason) == ("succeeded", "not deployed yet")

    def test_a_service_that_is_kept_needs_no_packages(self) -> None:
        there = {"serve": running(plan(service("serve")), "serve")}
        target = FakeTarget(FakeClock(), services=there)
        run(plan(service("serve"), observed=there), target=target)
        assert target.stages("prepare") == []

    def test_an_output_that_a_target_did_not_report_fails_its_reader(self) -> None:
        ran = run(plan(*self.STAGES), {"choose": acts(Act(outputs={}))})
        assert ran.ended("serve").reason == "what it reads, choose.model, was not made"

    def test_services_that_are_not_named_any_more_go_after_success_only(self) -> None:
        there = {"old": running(plan(service("old")), "old")}
        planned = plan(batch("a"), observed=there)
        target = FakeTarget(FakeClock(), services=there)
        failed = run(planned, target=FakeTarget(FakeClock(), {"a": acts(BAD)}, services=there))
        assert "old" in failed.target.services
        ran = run(planned, target=target)
        assert [e.stage for e in ran.events if isinstance(e, ServiceRemoved)] == ["old"]
        assert target.services == {}


class TestCancel:
    def test_everything_is_stopped_and_says_so(self) -> None:
        stages = [batch("a"), service("b"), batch("c", "ab")]
        scripts = {"a": HANGS, "b": acts(Act(takes=None, ignores_term=True))}
        planned = plan(*stages)
        ran = run(planned, scripts, cancel_when=lambda e: isinstance(e, StageStarted) and e.stage == "b")
        assert ran.states == {"a": "cancelled", "b": "cancelled", "c": "skipped"}
        assert ran.ended("a").reason == "the run was cancelled"
        assert (ran.state, ran.target.running) == (RunState.CANCELLED, [])

    def test_before_anything_has_begun(self) -> None:
        ran = run(plan(batch("a")), cancel_when=lambda e: isinstance(e, RunStarted))
        assert ran.state is RunState.CANCELLED
        assert ran.target.running == []

    def test_what_is_being_started_is_given_up(self) -> None:
        """A target may let stages wait for their turn in `start`: they must not start after all."""
        scripts = {"a": acts(Act(starts=5, takes=None)), "b": acts(Act(takes=2))}
        planned = plan(batch("a"), batch("b"))
        ran = run(planned, scripts, cancel_when=lambda e: isinstance(e, StageEnded))
        assert ran.states == {"a": "cancelled", "b": "succeeded"}
        assert ran.events[-1].at - ran.events[0].at == 2
        assert ran.target.stages("watch") == ["b"]

    def test_what_cannot_be_given_up_is_stopped_once_it_is_there(self) -> None:
        class Stubborn(FakeTarget):
            async def start(self, plan: PlanType, planned: PlannedStage, **more: Any) -> Handle:
                starting = asyncio.ensure_future(super().start(plan, planned, **more))
                while not starting.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.shield(starting)
                return starting.result()

        target = Stubborn(FakeClock(), {"a": acts(Act(starts=5, takes=None)), "b": acts(Act(takes=2))})
        planned = plan(batch("a"), batch("b"))
        ran = run(planned, target=target, cancel_when=lambda e: isinstance(e, StageEnded))
        assert ran.states == {"a": "cancelled", "b": "succeeded"}
        assert target.stages("stop") == ["a"]
        assert target.running == []

    def test_while_waiting_for_a_retry(self) -> None:
        planned = plan(batch("a", retries=1))
        ran = run(planned, {"a": acts(BAD)}, cancel_when=lambda e: isinstance(e, StageRetrying))
        assert ran.states == {"a": "cancelled"}
        assert ran.target.started == ["a"]

    def test_while_a_time_limit_is_being_enforced(self) -> None:
        script = acts(Act(takes=None, ignores_term=True))
        planned = plan(batch("a", timeout=5, retries=9), batch("b"))
        slow = acts(Act(takes=7))
        ran = run(planned, {"a": script, "b": slow}, cancel_when=lambda e: isinstance(e, StageEnded))
        assert ran.state is RunState.CANCELLED
        assert ran.target.started == ["a", "b"]

    def test_the_stage_for_failures_can_be_stopped_and_the_run_stays_failed(self) -> None:
        planned = plan(batch("a"), on_failure=batch("tell"))
        scripts = {"a": acts(BAD), "tell": HANGS}
        ran = run(planned, scripts, cancel_when=lambda e: isinstance(e, StageStarted) and e.stage == "tell")
        assert ran.states == {"a": "failed", "tell": "cancelled"}
        assert ran.state is RunState.FAILED


class TestResume:
    STAGES = (batch("a", outputs="x"), batch("b", "a", inputs="a.x"), batch("c", "b"))

    def test_what_ended_well_is_not_run_again_and_its_outputs_are_used(self) -> None:
        first = run(plan(*self.STAGES), {"b": acts(BAD)})
        second = run(plan(*self.STAGES), past=first.events)
        assert second.target.started == ["b", "c"]
        assert second.states == {"b": "succeeded", "c": "succeeded"}
        (call,) = [c for c in second.target.calls if (c.what, c.stage) == ("start", "b")]
        assert call.inputs == {"x": first.ended("a").outputs["x"]}
        assert call.attempt == 1
        assert second.events[0] == RunStarted(at=second.events[0].at, run="run-1", resumed=True)

    def test_what_an_interrupted_command_left_is_regained_before_anything_else(self) -> None:
        full = run(plan(*self.STAGES)).events
        past = full[
            : 1 + next(i for i, e in enumerate(full) if isinstance(e, StageStarted) and e.stage == "b")
        ]
        second = run(plan(*self.STAGES), past=past)
        assert second.target.cleaned == {"b": "b/1"}
        assert second.target.calls[0].what == "regain"
        assert second.state is RunState.SUCCEEDED

    def test_the_target_is_told_whether_what_is_left_of_on_failure_is_of_this_failure(self) -> None:
        planned = plan(batch("a"), on_failure=batch("tell"))
        full = run(planned, {"a": acts(BAD)}).events
        assert run(planned, past=full).target.had_ended is True
        assert run(planned, past=full[:-1]).target.had_ended is False

    def test_an_attempt_that_is_taken_over_keeps_its_number_and_counting_goes_on(self) -> None:
        target = FakeTarget(FakeClock(), {"a": acts(BAD, BAD, OK)})
        target.left = {"a": 2}
        planned = plan(batch("a", retries=2))
        past = [RunStarted(at=0.0, run="run-1")]
        ran = run(planned, target=target, past=past)
        numbers = [e.attempt for e in ran.events if isinstance(e, StageStarted | StageRetrying)]
        assert numbers == [2, 2, 3]
        assert ran.state is RunState.SUCCEEDED

    def test_a_run_that_had_nothing_left_but_its_end(self) -> None:
        full = run(plan(*self.STAGES)).events
        second = run(plan(*self.STAGES), past=full[:-1])
        assert [type(event).__name__ for event in second.events] == ["RunStarted", "RunEnded"]

    def test_removals_that_are_recorded_are_not_done_again(self) -> None:
        there = {name: running(plan(service(name)), name) for name in ("old", "older")}
        planned = plan(batch("a"), observed=there)
        full = run(planned, target=FakeTarget(FakeClock(), services=there)).events
        past = full[: 1 + next(i for i, e in enumerate(full) if isinstance(e, ServiceRemoved))]
        second = run(planned, target=FakeTarget(FakeClock(), services=there), past=past)
        assert second.target.stages("remove") == ["older"]


class TestTrouble:
    @pytest.mark.parametrize("method", ["start", "watch", "stop", "observe", "remove", "regain"])
    def test_a_target_out_of_reach_ends_the_run_with_its_error(self, method: str) -> None:
        there = {name: running(plan(service(name)), name) for name in ("kept", "old")}
        planned = plan(batch("a", timeout=5), service("kept"), batch("c", "a"), observed=there)
        target = FakeTarget(
            FakeClock(), {"a": acts(Act(takes=None if method == "stop" else 1))}, services=there
        )
        target.unreachable = {method}
        ran = run(planned, target=target, past=[RunStarted(at=0, run="run-1")])
        assert isinstance(ran.error, UnreachableError)
        assert method in str(ran.error)
        assert target.calls[-1].what == "close"

    def test_an_unexpected_error_stops_what_runs_and_is_raised(self) -> None:
        class Broken(FakeTarget):
            async def prepare(self, plan: PlanType, planned: PlannedStage) -> None:
                if planned.stage.name == "b":
                    await self.clock.sleep(5)
                    raise ZeroDivisionError("a bug")
                await super().prepare(plan, planned)

        target = Broken(FakeClock(), {"a": HANGS})
        ran = run(plan(batch("a"), batch("b")), target=target)
        assert isinstance(ran.error, ZeroDivisionError)
        assert target.running == []

    async def test_closing_early_stops_everything(self) -> None:
        clock = FakeClock()
        target = FakeTarget(clock, {"a": acts(Act(takes=None, ignores_term=True)), "b": Script(prepare=600)})

        async def work() -> None:
            async with aclosing(execute(plan(batch("a"), batch("b")), target, clock=clock)) as events:
                async for event in events:
                    if isinstance(event, StageStarted):
                        break

        await clock.drive(work())
        assert target.running == []
        assert target.calls[-1].what == "close"
        assert len(asyncio.all_tasks()) == 1

    async def test_a_cancelled_consumer_stops_everything(self) -> None:
        clock = FakeClock()
        target = FakeTarget(clock, {"a": HANGS})

        async def work() -> None:
            async for _ in execute(plan(batch("a")), target, clock=clock):
                pass

        task = asyncio.create_task(work())
        await clock.settle()
        assert target.running == ["a/1"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await clock.drive(asyncio.wait_for(task, None))
        assert target.running == []

    async def test_output_waits_for_its_consumer(self) -> None:
        clock = FakeClock()
        chatty = acts(Act(takes=0, prints=("x" * 1000 + "\n",) * 5000))
        target = FakeTarget(clock, {"a": chatty, "b": chatty})
        seen = 0
        async with aclosing(execute(plan(batch("a"), batch("b")), target, clock=clock)) as events:
            async for event in events:
                seen += isinstance(event, StageOutput)
                if seen == 10:
                    await clock.settle()
                    assert target.printed < 50
        assert seen == 10_000


def test_closing_while_stages_wait_for_room_loses_nobody() -> None:
    clock = FakeClock()
    chatty = acts(Act(takes=0, prints=("x\n",) * 5000))
    target = FakeTarget(clock, dict.fromkeys("abc", chatty))

    async def work() -> None:
        async with aclosing(execute(plan(*map(batch, "abc")), target, clock=clock)) as events:
            async for event in events:
                if isinstance(event, StageOutput):
                    await clock.settle()
                    return

    asyncio.run(clock.drive(work()))
    assert target.running == []


@pytest.mark.parametrize("shape", ["chain", "step", "step after step"])
def test_the_engine_costs_less_than_a_millisecond_a_stage(shape: str) -> None:
    """A stage of ours may cost 30 ms; the engine must not be what one notices."""
    names = frozenset(f"a{i}" for i in range(1000))
    stages = {
        "chain": [batch(f"s{i}", {f"s{i - 1}"} if i else ()) for i in range(1000)],
        "step": [batch(name) for name in names],
        "step after step": [*map(batch, names), *(batch(f"b{i}", names) for i in range(1000))],
    }[shape]
    began = time.process_time()
    ran = run(plan(*stages))
    spent = time.process_time() - began
    assert ran.state is RunState.SUCCEEDED
    assert sum(isinstance(event, StagePrepared) for event in ran.events) == len(stages)
    assert spent / len(stages) < 0.001
