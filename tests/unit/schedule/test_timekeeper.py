"""The timekeeper, with a clock that is told and hands that only note: every time comes to exactly one end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bodywork.database import Database
from bodywork.errors import UnreachableError
from bodywork.history import MIGRATIONS
from bodywork.schedule.book import Book
from bodywork.schedule.definition import Definition
from bodywork.schedule.due import Decision, Fate
from bodywork.schedule.firing import Cause, Firing, State
from bodywork.schedule.timekeeper import LONGEST, Timekeeper
from bodywork.spec.model import Missed, Overlap, Schedule

START = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
HOURLY = Definition(name="iris", pipeline="iris", repository="/iris", rule=Schedule(cron="0 * * * *"))


@dataclass
class ToldClock:
    """It is as late as it is told to be; nobody waits longer than for the others to act."""

    now: float = START.timestamp()
    waited: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        await asyncio.Event().wait()


@dataclass
class NotedHands:
    """Takes each firing and ends it as `ends` says; "gone": its process dies at once; "never": untaken."""

    book: Book
    ends: State | str = State.SUCCEEDED
    started: list[int] = field(default_factory=list)
    tips: list[str | Exception] = field(default_factory=list)
    in_progress: str = ""
    runs: dict[str, tuple[State, str]] = field(default_factory=dict)
    living: set[str] = field(default_factory=set)
    count: int = 0

    def new_run(self) -> str:
        self.count += 1
        return f"run-{self.count}"

    def busy(self, pipeline: str) -> str:
        return self.in_progress

    def tip(self, definition: Definition) -> str:
        found = self.tips.pop(0) if len(self.tips) > 1 else self.tips[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def carry_out(self, firing: Firing) -> str:
        self.started.append(firing.number)
        if self.ends == "never":
            return "error: no space left"
        if not self.book.take(firing.number, f"{firing.number}:1"):
            return ""
        if self.ends == "hang":
            await asyncio.Event().wait()
        if isinstance(self.ends, State):
            self.book.end(firing.number, self.ends, "", now=0.0, began=True)
        return "its last words"

    def alive(self, process: str) -> bool:
        return process in self.living

    def outcome(self, run: str) -> tuple[State, str] | None:
        return self.runs.get(run)


@dataclass
class Bench:
    book: Book
    clock: ToldClock
    hands: NotedHands
    said: list[str] = field(default_factory=list)

    def keeper(self) -> Timekeeper:
        return Timekeeper(self.book, self.hands, self.clock, self.said.append)

    async def turns(self, keeper: Timekeeper, *, until: Callable[[], object] | None = None) -> None:
        """Let it look, and what it has begun come to its end."""
        task = asyncio.create_task(keeper.run())
        for _ in range(500):
            await asyncio.sleep(0.002)
            if until is None or until():
                break
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not [line for line in self.said if "bug" in line], self.said

    def rows(self) -> list[tuple[State, str]]:
        return [(one.state, one.run) for one in self.book.firings("iris")][::-1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with closing(Book(Database(tmp_path / "history.db", MIGRATIONS))) as book:
        book.put(HOURLY, now=START.timestamp(), tip="a")
        yield Bench(book=book, clock=ToldClock(), hands=NotedHands(book))


async def test_it_waits_for_the_next_time_but_never_long(bench: Bench) -> None:
    await bench.turns(bench.keeper())
    assert bench.clock.waited == [LONGEST] and bench.rows() == []
    bench.clock.now += 3600 - 5
    await bench.turns(bench.keeper())
    assert bench.clock.waited[-1] == pytest.approx(5)


async def test_each_hour_fires_once_also_with_two_agents(bench: Bench) -> None:
    first, second = bench.keeper(), bench.keeper()
    for _ in range(5):
        bench.clock.now += 3600
        await asyncio.gather(bench.turns(first), bench.turns(second))
    assert bench.rows() == [(State.SUCCEEDED, bench.book.firings("iris")[::-1][n].run) for n in range(5)]
    assert len({run for _, run in bench.rows()}) == 5


async def test_a_suspended_machine_fires_the_last_time_and_tells_of_the_others(bench: Bench) -> None:
    bench.clock.now += 3 * 3600 + 600
    await bench.turns(bench.keeper())
    assert [state for state, _ in bench.rows()] == [State.MISSED, State.MISSED, State.SUCCEEDED]
    assert bench.book.firings("iris")[0].reason == "600 s late"


async def test_a_run_in_progress_is_named_where_a_time_is_skipped(bench: Bench) -> None:
    bench.hands.in_progress = "run-of-somebody"
    bench.clock.now += 3600
    await bench.turns(bench.keeper())
    (row,) = bench.book.firings("iris")
    assert (row.state, row.reason) == (State.SKIPPED, "run run-of-somebody was in progress")
    rule = replace(HOURLY.rule, overlap=Overlap.REPLACE)
    bench.book.put(replace(HOURLY, rule=rule), now=bench.clock.now, tip="a")
    bench.clock.now += 3600
    await bench.turns(bench.keeper())
    assert bench.rows()[-1][0] is State.SUCCEEDED


async def test_an_own_run_that_still_fetches_is_in_progress_too(bench: Bench) -> None:
    bench.hands.ends = "hang"
    keeper = bench.keeper()
    task = asyncio.create_task(keeper.run())
    bench.clock.now += 3600
    keeper.wake()
    await asyncio.sleep(0.05)
    bench.hands.living.add("1:1")
    bench.clock.now += 3600
    keeper.wake()
    await asyncio.sleep(0.05)
    task.cancel()
    assert [state for state, _ in bench.rows()] == [State.RUNNING, State.SKIPPED]
    assert bench.book.firings("iris")[0].reason == "run run-1 was in progress"


@pytest.mark.parametrize(
    ("ends", "run", "state", "reason"),
    [
        ("never", None, State.FAILED, "its command ended before a run began: error: no space left"),
        ("gone", None, State.FAILED, "its command ended before a run began: its last words"),
        ("gone", (State.INTERRUPTED, "it was killed"), State.INTERRUPTED, "it was killed"),
        ("gone", (State.FAILED, "stage train: exited with 1"), State.FAILED, "stage train: exited with 1"),
    ],
)
async def test_a_process_that_dies_without_a_word_is_accounted_for(
    bench: Bench, ends: str, run: tuple[State, str] | None, state: State, reason: str
) -> None:
    bench.hands.ends = ends
    if run is not None:
        bench.hands.runs["run-1"] = run
    bench.clock.now += 3600
    await bench.turns(bench.keeper())
    (row,) = bench.book.firings("iris")
    assert (row.state, row.reason) == (state, reason)
    assert row.run == ("run-1" if run else "")
    assert bench.hands.started == [row.number], "it is not started again"


async def test_a_firing_that_a_dead_agent_has_left_waiting_is_started(bench: Bench) -> None:
    """The agent died between writing it down and starting its process."""
    bench.book.ask("iris", now=bench.clock.now, run="r")
    await bench.turns(bench.keeper())
    assert bench.rows() == [(State.SUCCEEDED, "r")]


async def test_a_firing_that_was_left_waiting_too_long_is_told_as_missed(bench: Bench) -> None:
    rule = replace(HOURLY.rule, missed=Missed.NONE)
    bench.book.put(replace(HOURLY, rule=rule), now=bench.clock.now, tip="a")
    bench.hands.ends = "hang"
    bench.clock.now += 3600
    kept, due = bench.book.get("iris"), START + timedelta(hours=1)
    decisions = [Decision(due=due, fate=Fate.FIRED)]
    assert bench.book.settle(kept, decisions, now=bench.clock.now, run="r")
    bench.clock.now += 1800
    await bench.turns(bench.keeper())
    (row,) = bench.book.firings("iris")
    assert row.state is State.MISSED and "the agent had died as it was to begin" in row.reason


async def test_a_process_that_has_outlived_its_agent_is_waited_for(bench: Bench) -> None:
    firing = bench.book.ask("iris", now=bench.clock.now, run="r")
    bench.book.take(firing.number, "77:1")
    bench.hands.living.add("77:1")
    await bench.turns(bench.keeper())
    assert bench.rows() == [(State.RUNNING, "r")] and bench.hands.started == []
    bench.hands.living.clear()
    bench.hands.runs["r"] = (State.SUCCEEDED, "")
    await bench.turns(bench.keeper())
    assert bench.rows() == [(State.SUCCEEDED, "r")]


async def test_a_ref_that_moves_fires_and_one_that_is_out_of_reach_is_told_once(bench: Bench) -> None:
    pushed = replace(HOURLY, rule=Schedule(on_push=60.0))
    bench.book.put(pushed, now=bench.clock.now, tip="a")
    bench.hands.tips = ["a"]
    keeper = bench.keeper()
    await bench.turns(keeper, until=lambda: not bench.hands.tips)
    assert bench.rows() == []
    bench.hands.tips, bench.clock.now = [UnreachableError("host does not answer")], bench.clock.now + 60
    await bench.turns(keeper, until=lambda: bench.book.get("iris").trouble)
    assert bench.book.get("iris").trouble == "host does not answer" and bench.rows() == []
    bench.hands.tips, bench.clock.now = ["b"], bench.clock.now + 60
    await bench.turns(keeper, until=lambda: [s for s, _ in bench.rows()] == [State.SUCCEEDED])
    (row,) = bench.book.firings("iris")
    assert row.cause is Cause.PUSH and bench.book.get("iris").trouble == ""


async def test_a_push_that_could_not_be_fetched_is_tried_again_until_a_run_begins(bench: Bench) -> None:
    pushed = replace(HOURLY, rule=Schedule(on_push=60.0))
    bench.book.put(pushed, now=bench.clock.now, tip="a")
    bench.hands.tips, bench.hands.ends = ["b"], "gone"
    keeper = bench.keeper()
    for tries in range(1, 4):
        await bench.turns(keeper, until=lambda: len(bench.hands.started) == tries)  # noqa: B023
        await bench.turns(keeper, until=lambda: not bench.book.open())
        assert len(bench.hands.started) == tries, "not before the next look"
        bench.clock.now += 60
    assert bench.rows() == [(State.FAILED, "")], "one line tells of the same trouble"
    assert "its last words" in bench.book.get("iris").trouble
    bench.hands.ends = State.SUCCEEDED
    await bench.turns(keeper, until=lambda: len(bench.rows()) == 2 and not bench.book.open())
    assert [state for state, _ in bench.rows()] == [State.FAILED, State.SUCCEEDED]
    assert bench.book.get("iris").trouble == ""
    bench.clock.now += 60
    await bench.turns(keeper)
    assert len(bench.hands.started) == 4, "it has had its run"


async def test_it_is_wanted_as_long_as_something_may_fire(bench: Bench) -> None:
    keeper = bench.keeper()
    await bench.turns(keeper)
    assert keeper.wanted and keeper.active == 1
    bench.book.pause("iris", bench.clock.now)
    await bench.turns(keeper)
    assert not keeper.wanted and keeper.active == 0
