"""Days that a workflow is run for: one, or a range of them, as `--date` names them."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from bodywork.errors import UsageError

MOST = 3660
"""Days of a range: ten years. More is a slip of the pen."""

DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Days:
    """From `first` to `last`, both included. `alone`: one day was named, and not a range."""

    first: date
    last: date
    alone: bool

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=number) for number in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        return f"{self.first}" if self.alone else f"{self.first}..{self.last}"


def read_days(text: str) -> Days:
    """`2026-03-01`, or `2026-03-01..2026-03-31`. Raises UsageError."""
    first, dots, last = text.partition("..")
    begin = _day(first, text)
    days = Days(first=begin, last=_day(last, text) if dots else begin, alone=not dots)
    if days.last < days.first:
        raise UsageError(
            f"--date: the range {days} ends before it begins",
            hint=f"name the earlier day first: {days.last}..{days.first}",
        )
    if len(days) > MOST:
        raise UsageError(
            f"--date: the range {days} has {len(days):,} days, {MOST:,} is the most",
            hint="run it in several parts",
        )
    return days


def _day(text: str, whole: str) -> date:
    found = DAY.fullmatch(text)
    if not found:
        raise UsageError(
            f"--date: {whole!r} is neither a day nor a range of days",
            hint="write days like 2026-03-01, and ranges like 2026-03-01..2026-03-31",
        )
    year, month, day = (int(number) for number in found.groups())
    try:
        return date(year, month, day)
    except ValueError:
        raise UsageError(f"--date: there is no day {text}", hint=_nearest(year, month)) from None


def _nearest(year: int, month: int) -> str:
    if year < 1 or not 1 <= month <= 12:
        return "years begin with 0001, and months go from 01 to 12"
    return f"{calendar.month_name[month]} {year} has {calendar.monthrange(year, month)[1]} days"
