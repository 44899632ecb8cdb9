"""Days and ranges of them, as the command line takes them."""

from __future__ import annotations

import pytest

from bodywork.app.days import read_days
from bodywork.errors import UsageError


def test_one_day() -> None:
    days = read_days("2026-03-01")
    assert days.alone
    assert [str(day) for day in days] == ["2026-03-01"]
    assert str(days) == "2026-03-01"


def test_a_range_has_both_ends_and_knows_leap_years() -> None:
    days = read_days("2024-02-27..2024-03-01")
    assert not days.alone
    assert [str(day) for day in days] == ["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"]
    assert len(read_days("2026-03-01..2026-03-01")) == 1
    assert str(days) == "2024-02-27..2024-03-01"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("2026-02-29", "--date: there is no day 2026-02-29", "February 2026 has 28 days"),
        (
            "2026-13-01",
            "--date: there is no day 2026-13-01",
            "years begin with 0001, and months go from 01 to 12",
        ),
        (
            "2026-03-31..2026-03-01",
            "--date: the range 2026-03-31..2026-03-01 ends before it begins",
            "name the earlier day first: 2026-03-01..2026-03-31",
        ),
        (
            "0001-01-01..2026-03-01",
            "--date: the range 0001-01-01..2026-03-01 has 739,676 days, 3,660 is the most",
            "run it in several parts",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_days(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    "text",
    ["", "today", "2026-3-1", "01.03.2026", "2026-03-01..", "..2026-03-01", "2026-03-01T06:00", "২-03-01"],
)
def test_what_is_no_day_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_days(text)
    assert caught.value.message == f"--date: {text!r} is neither a day nor a range of days"
    assert caught.value.hint == "write days like 2026-03-01, and ranges like 2026-03-01..2026-03-31"
