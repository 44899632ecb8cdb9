"""Whether a good end of a firing is to be told as a recovery."""

from __future__ import annotations

import pytest

from bodywork.schedule.firing import Cause, Firing, State, could_not_begin


def fired(state: State, run: str = "") -> Firing:
    return Firing(
        number=1,
        schedule="iris",
        due=0.0,
        cause=Cause.TIME,
        state=state,
        run=run,
        process="",
        reason="",
        at=0.0,
        ended=None,
    )


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        ([], False),
        ([fired(State.FAILED)], True),
        ([fired(State.FAILED, "r")], False),
        ([fired(State.SKIPPED), fired(State.MISSED), fired(State.CANCELLED), fired(State.FAILED)], True),
        ([fired(State.SUCCEEDED, "r"), fired(State.FAILED)], False),
        ([fired(State.MISSED)], False),
    ],
)
def test_the_last_one_that_was_tried_counts(earlier: list[Firing], expected: bool) -> None:
    assert could_not_begin(earlier) is expected
