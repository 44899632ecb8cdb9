"""The book of schedules: whoever decides, however many at once, each time is claimed once and taken once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodywork.database import Database
from bodywork.errors import NotFoundError
from bodywork.history import MIGRATIONS
from bodywork.schedule.book import MOST_MISSED, Book
from bodywork.schedule.definition import Definition, differences
from bodywork.schedule.due import Decision, Fate, decide
from bodywork.schedule.firing import Cause, State
from bodywork.spec.model import Missed, Overlap, Schedule

START = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
NIGHTLY = Definition(
    name="iris",
    pipeline="iris",
    repository="/projects/iris",
    ref="main",
    rule=Schedule(cron="30 2 * * *", timezone="Europe/London", overlap=Overlap.REPLACE, on_push=60.0),
)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Callable[[], Book]]:
    """Makes another one over the same file, as another process would."""
    with ExitStack() as stack:
        yield lambda: opened(stack, tmp_path / "history.db")


def opened(stack: ExitStack, path: Path) -> Book:
    return stack.enter_context(closing(Book(Database(path, MIGRATIONS))))


def test_a_definition_is_read_as_it_was_written() -> None:
    assert Definition.decode(NIGHTLY.encode()) == NIGHTLY
    with_more = NIGHTLY.encode().replace('{"name"', '{"colour": "red", "name"', 1)
    assert Definition.decode(with_more) == NIGHTLY


def test_what_has_changed_is_told_key_by_key() -> None:
    after = replace(NIGHTLY, ref=None, rule=replace(NIGHTLY.rule, cron="0 3 * * *", missed=Missed.NONE))
    assert list(differences(NIGHTLY, after)) == [
        "ref: main -> none",
        "cron: 30 2 * * * -> 0 3 * * *",
        "missed: last -> none",
    ]
    assert not list(differences(NIGHTLY, NIGHTLY))


@settings(max_examples=25, deadline=None)
@given(
    pauses=st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=6),
    many=st.integers(min_value=2, max_value=6),
)
def test_no_time_is_claimed_twice_however_many_decide(
    tmp_path_factory: pytest.TempPathFactory, pauses: list[int], many: int
) -> None:
    path = tmp_path_factory.mktemp("book") / "history.db"
    with ExitStack() as stack:
        books = [opened(stack, path) for _ in range(many)]
        books[0].put(NIGHTLY, now=START.timestamp(), tip="")
        now, barrier = START, threading.Barrier(many)

        def claim(number: int) -> bool:
            """Look at the clock, decide, and then all write at the same moment."""
            book = books[number]
            kept = book.get("iris")
            timing = NIGHTLY.timing
            assert timing is not None
            decisions = decide(timing, last=datetime.fromtimestamp(kept.last, UTC), now=now)
            barrier.wait()
            return bool(decisions) and book.settle(kept, decisions, now=now.timestamp(), run=f"run-{number}")

        with ThreadPoolExecutor(many) as pool:
            for hours in pauses:
                now += timedelta(hours=hours)
                assert sum(pool.map(claim, range(many))) <= 1
        assert NIGHTLY.timing is not None
        expected = [one.due for one in decide(NIGHTLY.timing, last=START, now=now)]
        found = [datetime.fromtimestamp(one.due, UTC) for one in books[0].firings("iris")]
        assert found == expected[::-1], "each time is there, once"


@settings(max_examples=25, deadline=None)
@given(many=st.integers(min_value=2, max_value=8))
def test_a_firing_is_taken_once_however_many_want_it(
    tmp_path_factory: pytest.TempPathFactory, many: int
) -> None:
    path = tmp_path_factory.mktemp("book") / "history.db"
    with ExitStack() as stack:
        books = [opened(stack, path) for _ in range(many)]
        books[0].put(NIGHTLY, now=1.0, tip="")
        firing, barrier = books[0].ask("iris", now=2.0, run="r"), threading.Barrier(many)

        def take(number: int) -> bool:
            barrier.wait()
            return books[number].take(firing.number, f"{number}:0")

        with ThreadPoolExecutor(many) as pool:
            assert sum(pool.map(take, range(many))) == 1
        assert books[0].end(firing.number, State.SUCCEEDED, "", now=3.0, began=True)
        assert not books[0].take(firing.number, "late:0"), "it has ended"
        assert not books[0].end(firing.number, State.FAILED, "", now=3.0, began=True), "and ends once"


def test_a_push_is_seen_once(books: Callable[[], Book]) -> None:
    one, other = books(), books()
    one.put(NIGHTLY, now=1.0, tip="a")
    kept = one.get("iris")
    assert not one.push(kept, "a", now=2.0, run="r1"), "it has not moved"
    assert one.push(kept, "b", now=3.0, run="r2")
    assert not other.push(kept, "b", now=3.0, run="r3"), "who looked at the same time comes too late"
    assert [(f.cause, f.run) for f in one.firings("iris")] == [(Cause.PUSH, "r2")]


def test_a_push_is_owed_a_run_until_one_has_begun(books: Callable[[], Book]) -> None:
    """All its failed tries have one line together, which tells of the newest."""
    one, other = books(), books()
    one.put(NIGHTLY, now=1.0, tip="a")
    tries = iter(range(2, 99))

    def look(tip: str) -> bool:
        now = next(tries)
        return other.push(one.get("iris"), tip, now=float(now), run=f"r{now}")

    def end(state: State, reason: str, *, began: bool) -> None:
        (firing,) = one.open()
        assert one.take(firing.number, "1:0")
        assert one.end(firing.number, state, reason, now=float(next(tries)), began=began)

    assert look("b") and one.get("iris").owed == "b"
    assert not look("b"), "the first try goes on"
    for reason in ("host away", "host away", "no secret"):
        end(State.FAILED, reason, began=False)
        assert f"b was pushed, and is tried again until a run of it begins: {reason}" == trouble(one)
        assert look("b") and trouble(one), "until it is known to have begun"
    (failed,) = one.firings("iris")[1:]
    assert (failed.state, failed.due, failed.reason) == (State.FAILED, 2.0, "no secret")
    end(State.FAILED, "train failed", began=True)
    assert (one.get("iris").owed, trouble(one)) == ("", "") and not look("b")
    assert [f.run != "" for f in one.firings("iris")] == [True, False]


def test_a_push_that_a_newer_one_has_replaced_leaves_that_one_owed(books: Callable[[], Book]) -> None:
    book = books()
    book.put(NIGHTLY, now=1.0, tip="a")
    for number, tip in enumerate("bc", 2):
        assert book.push(book.get("iris"), tip, now=float(number), run=f"r{number}")
    old, new = book.open()
    assert book.end(old.number, State.CANCELLED, "", now=4.0, began=True)
    assert book.get("iris").owed == "c"
    assert book.end(new.number, State.FAILED, "host away", now=5.0, began=False)
    elsewhere = replace(NIGHTLY, ref="other")
    book.put(elsewhere, now=6.0, tip="d")
    assert (book.get("iris").owed, trouble(book)) == ("", "")
    assert not book.push(book.get("iris"), "d", now=7.0, run="r7"), "another branch owes nothing"


def trouble(book: Book) -> str:
    return book.get("iris").trouble


def test_a_clock_that_is_set_back_fires_nothing_again(books: Callable[[], Book]) -> None:
    book, later = books(), (START + timedelta(days=2)).timestamp()
    book.put(NIGHTLY, now=START.timestamp(), tip="")
    assert NIGHTLY.timing is not None
    decisions = decide(NIGHTLY.timing, last=START, now=START + timedelta(days=1))
    book.settle(book.get("iris"), decisions, now=later, run="r")
    book.put(replace(NIGHTLY, rule=replace(NIGHTLY.rule, timezone="UTC")), now=START.timestamp(), tip="")
    again = [Decision(due=decisions[0].due, fate=Fate.FIRED)]
    book.settle(book.get("iris"), again, now=later, run="r2")
    assert [one.run for one in book.firings("iris")] == ["r"]


def test_years_without_power_do_not_fill_the_history(books: Callable[[], Book]) -> None:
    book = books()
    often = replace(NIGHTLY, rule=Schedule(cron="0 * * * *"))
    book.put(often, now=START.timestamp(), tip="")
    assert often.timing is not None
    decisions = decide(often.timing, last=START, now=START + timedelta(days=365))
    assert book.settle(book.get("iris"), decisions, now=0.0, run="r")
    rows = book.firings("iris")
    assert len(rows) == MOST_MISSED + 1
    assert f"so did {365 * 24 - MOST_MISSED - 1} times before it" in rows[-1].reason


def test_while_it_is_paused_nothing_is_decided_and_afterwards_the_times_are_told(
    books: Callable[[], Book],
) -> None:
    book = books()
    book.put(NIGHTLY, now=START.timestamp(), tip="a")
    kept = book.get("iris")
    book.pause("iris", START.timestamp())
    timing = NIGHTLY.timing
    assert timing is not None
    decisions = decide(timing, last=START, now=START + timedelta(days=1))
    assert not book.settle(kept, decisions, now=0.0, run="r")
    assert not book.push(kept, "b", now=0.0, run="r")
    book.resume("iris", (START + timedelta(days=1)).timestamp(), [one.due for one in decisions])
    assert [(one.state, one.reason) for one in book.firings("iris")] == [
        (State.MISSED, "the schedule was paused")
    ]
    assert book.get("iris").paused is None


def test_a_change_of_times_forgets_what_was_due_and_any_other_does_not(books: Callable[[], Book]) -> None:
    book = books()
    book.put(NIGHTLY, now=100.0, tip="a")
    book.put(replace(NIGHTLY, file="other.yaml"), now=150.0, tip="b")
    assert book.get("iris").tip == "a", "a push that nobody has seen yet is still to come"
    assert book.put(replace(NIGHTLY, ref="next"), now=200.0, tip="c") is not None
    assert (book.get("iris").last, book.get("iris").tip) == (100.0, "c")
    book.put(replace(NIGHTLY, rule=replace(NIGHTLY.rule, cron="@daily")), now=300.0, tip="")
    assert book.get("iris").last == 300.0


def test_what_was_pushed_before_anybody_looked_is_not_run(books: Callable[[], Book]) -> None:
    book = books()
    book.put(replace(NIGHTLY, rule=replace(NIGHTLY.rule, on_push=None)), now=1.0, tip="a")
    book.put(NIGHTLY, now=2.0, tip="b")
    assert book.get("iris").tip == "b"


def test_what_is_not_there_is_named_with_what_may_have_been_meant(books: Callable[[], Book]) -> None:
    book = books()
    with pytest.raises(NotFoundError, match=r"there is no schedule iriss$"):
        book.get("iriss")
    book.put(NIGHTLY, now=1.0, tip="")
    with pytest.raises(NotFoundError, match=r"did you mean iris\?"):
        book.get("iriss")
    firing = book.ask("iris", now=2.0, run="r")
    book.delete("iris")
    with pytest.raises(NotFoundError, match="may have been deleted"):
        book.firing(firing.number)
