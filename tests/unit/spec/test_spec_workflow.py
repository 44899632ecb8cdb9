"""Workflows as text and as graphs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodywork.spec import workflow

NAMES = st.text(alphabet="abcABC019_-. é", min_size=1, max_size=8).map(str.strip).filter(bool)
STEPS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map(tuple), min_size=1, max_size=6).map(tuple)
BLANKS = st.text(alphabet=" \t\r\n", max_size=4)
CALM = settings(deadline=None, derandomize=True)


@CALM
@given(STEPS)
def test_reading_what_was_shown_gives_the_same_steps(steps: workflow.Steps) -> None:
    assert workflow.parse(workflow.show(steps)) == steps


@CALM
@given(STEPS, st.data())
def test_showing_what_was_read_only_tidies_blanks(steps: workflow.Steps, data: st.DataObject) -> None:
    parts = [part for step in steps for name in step for part in (name, ",")][:-1]
    cut = iter([len(step) for step in steps])
    text, left = "", next(cut)
    for part in parts:
        if part == ",":
            left -= 1
            part, left = (">>", next(cut)) if left == 0 else (",", left)
        text += data.draw(BLANKS) + part + data.draw(BLANKS)
    assert workflow.show(workflow.parse(text)) == workflow.show(steps)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no stage"),
        (" \n", "names no stage"),
        (">> a", 'missing before the first ">>"'),
        ("a >>", 'missing after the last ">>"'),
        ("a >> >> b", 'missing between two ">>"'),
        ("a, >> b", 'missing beside the "," of "a,"'),
        ("a >> ,b", 'missing beside the "," of ", b"'),
    ],
)
def test_a_name_that_is_missing(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        workflow.parse(text)


def test_what_each_stage_waits_for() -> None:
    waits = workflow.after(workflow.parse("a >> b, c >> d"))
    assert waits == {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}}
    assert waits["b"] is waits["c"]
    assert workflow.upstream("d", waits) == {"a", "b", "c"}
    assert workflow.upstream("a", waits) == set()


@CALM
@given(st.lists(NAMES, min_size=1, max_size=12, unique=True), st.data())
def test_levels_put_every_stage_as_early_as_possible(names: list[str], data: st.DataObject) -> None:
    waits = {
        name: frozenset(data.draw(st.lists(st.sampled_from(names[:number]), max_size=4)) if number else [])
        for number, name in enumerate(names)
    }
    shuffled = data.draw(st.permutations(names))
    steps = workflow.levels({name: waits[name] for name in shuffled})
    level = {name: number for number, step in enumerate(steps) for name in step}
    assert set(level) == set(names)
    assert all(level[name] == max((level[other] + 1 for other in waits[name]), default=0) for name in names)


def test_levels_of_a_long_chain() -> None:
    waits = {str(n): frozenset({str(n + 1)} if n < 20_000 else ()) for n in range(20_001)}
    assert len(workflow.levels(waits)) == 20_001


def test_a_cycle_is_shown_as_its_path() -> None:
    waits = {"a": frozenset("b"), "b": frozenset("cd"), "c": frozenset("a"), "d": frozenset()}
    with pytest.raises(workflow.CycleError, match=r"^a -> b -> c -> a$"):
        workflow.levels(waits)
