"""Every time of a schedule is accounted for once, whenever and however often somebody asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodywork.schedule.due import Fate, Timing, decide, upcoming
from bodywork.spec.cron import Cron
from bodywork.spec.model import Missed, Overlap

START = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")


def nightly(**policy: object) -> Timing:
    return Timing(cron=Cron.parse("30 2 * * *"), zone=LONDON, **policy)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(
    pauses=st.lists(st.integers(min_value=1, max_value=3 * 24 * 3600), min_size=1, max_size=30),
    busy=st.lists(st.booleans(), min_size=30, max_size=30),
    missed=st.sampled_from(Missed),
)
def test_each_time_is_accounted_for_once(pauses: list[int], busy: list[bool], missed: Missed) -> None:
    timing, last, now, seen = nightly(missed=missed), START, START, []
    for pause, is_busy in zip(pauses, busy, strict=False):
        now += timedelta(seconds=pause)
        decisions = decide(timing, last=last, now=now, busy="r1" if is_busy else "")
        assert sum(one.fate is Fate.FIRED for one in decisions) <= 1
        seen += decisions
        last = decisions[-1].due if decisions else last
    expected = [time for time in upcoming(timing, START, 200) if time <= now]
    assert [one.due for one in seen] == expected
    assert all(one.reason for one in seen if one.fate is not Fate.FIRED)


@pytest.mark.parametrize(
    ("policy", "late", "busy", "fate", "reason"),
    [
        ({}, 5, "", Fate.FIRED, ""),
        ({}, 3600, "", Fate.FIRED, "3600 s late"),
        ({"missed": Missed.NONE}, 60, "", Fate.FIRED, ""),
        ({"missed": Missed.NONE}, 3600, "", Fate.MISSED, "nobody could act on it at its time"),
        ({"deadline": 600.0}, 3600, "", Fate.MISSED, "its deadline of 600 s had passed"),
        ({}, 5, "20260320-020000-ab12", Fate.SKIPPED, "run 20260320-020000-ab12 was in progress"),
        ({"overlap": Overlap.REPLACE}, 5, "20260320-020000-ab12", Fate.FIRED, ""),
    ],
)
def test_policies(policy: dict[str, object], late: int, busy: str, fate: Fate, reason: str) -> None:
    due = datetime(2026, 3, 21, 2, 30, tzinfo=UTC)
    (decision,) = decide(nightly(**policy), last=START, now=due + timedelta(seconds=late), busy=busy)
    assert (decision.due, decision.fate, decision.reason) == (due, fate, reason)


def test_after_days_without_power_the_last_night_fires_and_the_others_are_told() -> None:
    decisions = decide(nightly(), last=START, now=START + timedelta(days=3))
    assert [one.fate for one in decisions] == [Fate.MISSED, Fate.MISSED, Fate.FIRED]


def test_the_next_times_over_a_change_of_clocks() -> None:
    times = upcoming(nightly(), datetime(2026, 3, 27, 12, 0, tzinfo=UTC), 3)
    assert [f"{time:%d %H:%M}" for time in times] == ["28 02:30", "29 01:30", "30 01:30"]
