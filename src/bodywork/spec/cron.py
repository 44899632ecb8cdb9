"""Cron expressions, with the rules of the CronJobs of Kubernetes: a line means the same everywhere.

Five fields: minute, hour, day of month, month, weekday. A field is a list of numbers, ranges and steps
(`1-5`, `*/15`, `3/4` for "from 3 on"); months and weekdays have names; `?` is `*`. Where both the
day of month and the weekday are restricted, a day counts that fits either; a step (`*/2`) restricts.
Weekdays are 0 (Sunday) to 6; there are no seconds, no `L`, no `#`.

A schedule fires at each minute whose time on the clocks of its zone fits. So a time that clocks
skip in spring does not come that day, and one that they show twice in autumn comes twice.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WORDS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

FARTHEST = 5 * 366
"""Days to look ahead: a day that does not come in five years (30 February) never comes."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One of the five fields: its name, its numbers, and names for some of them."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]


MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
WEEKDAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)}
FIELDS = (
    Field(name="minute", low=0, high=59, names={}),
    Field(name="hour", low=0, high=23, names={}),
    Field(name="day of month", low=1, high=31, names={}),
    Field(name="month", low=1, high=12, names=MONTHS),
    Field(name="weekday", low=0, high=6, names=WEEKDAYS),
)


@dataclass(frozen=True, kw_only=True)
class Cron:
    """An expression, as the numbers that each field allows. `any_day`: days are not told by two fields."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises ValueError, as a sentence that begins with what must be."""
        fields = WORDS.get(text, text).split()
        if len(fields) != len(FIELDS):
            raise ValueError(
                f'must have five fields (minute, hour, day, month, weekday), not {len(fields)}: "{text}"'
            )
        parsed = [_parse(one, field) for one, field in zip(fields, FIELDS, strict=True)]
        minutes, hours, days, months, weekdays = (numbers for numbers, _ in parsed)
        return cls(
            minutes=minutes,
            hours=hours,
            days=days,
            months=months,
            weekdays=weekdays,
            any_day=parsed[2][1] or parsed[4][1],
        )

    def fits(self, day: date) -> bool:
        """Whether it fires on that day at all."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month and of_week if self.any_day else of_month or of_week

    def after(self, moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The times after `moment` (which names its zone), in UTC and in order; ends if there are no more."""
        day = moment.astimezone(zone).date() - timedelta(days=1)
        for _ in range(FARTHEST):
            if self.fits(day):
                for found in self._times(day, zone):
                    if found > moment:
                        moment = found
                        yield found
            try:
                day += timedelta(days=1)
            except OverflowError:
                return

    def _times(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        """Those of one day, in order: none that clocks skip, and twice what they show twice."""
        shown = [
            datetime.combine(day, time(hour, minute))
            for hour in sorted(self.hours)
            for minute in sorted(self.minutes)
        ]
        offset = datetime.combine(day, time(), zone).utcoffset()
        if (
            offset == datetime.combine(day + timedelta(days=1), time(), zone).utcoffset()
            and offset is not None
        ):
            return ((one - offset).replace(tzinfo=UTC) for one in shown)
        found = set()
        for one in shown:
            for fold in (0, 1):
                moment = one.replace(tzinfo=zone, fold=fold).astimezone(UTC)
                if moment.astimezone(zone).replace(tzinfo=None) == one:
                    found.add(moment)
        return iter(sorted(found))


def _parse(text: str, field: Field) -> tuple[frozenset[int], bool]:
    """The numbers of a field, and whether it leaves all open."""
    numbers: set[int] = set()
    is_open = False
    for part in text.split(","):
        found, whole = _range(part, field)
        numbers.update(found)
        is_open |= whole
    return frozenset(numbers), is_open


def _range(text: str, field: Field) -> tuple[range, bool]:
    base, slash, step_text = text.partition("/")
    first, dash, last = base.partition("-")
    is_open = base in ("*", "?")
    if is_open:
        low, high = field.low, field.high
    else:
        low = _number(first, field, text)
        high = _number(last, field, text) if dash else field.high if slash else low
    step = 1
    if slash:
        if not _is_number(step_text) or int(step_text) == 0:
            raise _wrong(text, field, "a step is a number from 1 on")
        step = int(step_text)
    if low > high:
        raise _wrong(text, field, "its beginning is after its end")
    return range(low, high + 1, step), is_open and step == 1


def _number(text: str, field: Field, whole: str) -> int:
    number = field.names.get(text.lower())
    if number is None:
        if not _is_number(text):
            known = f" or one of {', '.join(field.names)}" if field.names else ""
            raise _wrong(whole, field, f"it takes numbers from {field.low} to {field.high}{known}")
        number = int(text)
    if not field.low <= number <= field.high:
        sunday = "; Sunday is 0" if field.name == "weekday" and number == 7 else ""
        raise _wrong(whole, field, f"it takes numbers from {field.low} to {field.high}{sunday}")
    return number


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 5


def _wrong(text: str, field: Field, why: str) -> ValueError:
    return ValueError(f'"{text}" is not a {field.name} of a cron expression: {why}')
