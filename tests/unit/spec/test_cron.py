"""Cron expressions against brute force over minutes, with a second reading of the rules of CronJobs."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bodywork.spec.cron import Cron

ZONES = (
    "UTC",
    "Europe/London",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Sydney",
    "Australia/Lord_Howe",
)
CHANGES = (  # an hour before the clocks of some of them change, in 2026
    datetime(2026, 3, 29, 0, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 0, tzinfo=UTC),
    datetime(2026, 3, 8, 6, 0, tzinfo=UTC),
    datetime(2026, 11, 1, 5, 0, tzinfo=UTC),
    datetime(2026, 4, 4, 14, 0, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 0, tzinfo=UTC),
)
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = {"jan": 1, "feb": 2, "mar": 3, "dec": 12, "sun": 0, "mon": 1, "fri": 5, "sat": 6}


def random_part(chance: random.Random, low: int, high: int, names: tuple[str, ...]) -> str:
    first = chance.randint(low, high)
    last = chance.randint(first, high)
    forms = [
        "*",
        "?",
        "*",
        f"*/{chance.randint(1, high)}",
        str(first),
        f"{first}-{last}",
        f"{first}-{last}/{chance.randint(1, 9)}",
        f"{first}/{chance.randint(1, 9)}",
        *names,
    ]
    return chance.choice(forms)


def random_expression(chance: random.Random) -> str:
    names = ((), (), (), ("jan", "DEC", "feb-mar"), ("sun", "FRI", "mon-fri"))
    fields = [
        ",".join(random_part(chance, low, high, known) for _ in range(chance.choice((1, 1, 1, 2))))
        for (low, high), known in zip(LIMITS, names, strict=True)
    ]
    return " ".join(fields)


def allows(field: str, number: int, low: int, high: int) -> bool:
    """Whether a field allows a number, read without the code that is tested."""

    def value(text: str) -> int:
        return NAMES[text.lower()] if text.lower() in NAMES else int(text)

    for part in field.split(","):
        base, _, step = part.partition("/")
        if base in "*?":
            first, last = low, high
        elif "-" in base:
            first, last = map(value, base.split("-"))
        else:
            first = value(base)
            last = high if step else first
        if first <= number <= last and (number - first) % int(step or 1) == 0:
            return True
    return False


def is_star(field: str) -> bool:
    return any(part in ("*", "?", "*/1", "?/1") for part in field.split(","))


class Rules:
    """An expression, field by field as sets of numbers."""

    def __init__(self, expression: str) -> None:
        self.fields = expression.split()
        self.minute, self.hour, self.day, self.month, self.weekday = (
            {number for number in range(low, high + 1) if allows(field, number, low, high)}
            for field, (low, high) in zip(self.fields, LIMITS, strict=True)
        )

    def fire(self, shown: datetime) -> bool:
        if shown.minute not in self.minute or shown.hour not in self.hour or shown.month not in self.month:
            return False
        of_month, of_week = shown.day in self.day, shown.isoweekday() % 7 in self.weekday
        both = is_star(self.fields[2]) or is_star(self.fields[4])
        return of_month and of_week if both else of_month or of_week


def test_10_000_random_expressions_fire_at_the_minutes_that_fit() -> None:
    chance = random.Random(20260329)
    span = timedelta(hours=3)
    for _ in range(10_000):
        expression, zone = random_expression(chance), ZoneInfo(chance.choice(ZONES))
        start = chance.choice(CHANGES) + timedelta(days=chance.choice((0, 0, chance.randint(-200, 200))))
        expected, rules = [], Rules(expression)
        for offset in range(1, int(span.total_seconds()) // 60 + 1):
            moment = start + timedelta(minutes=offset)
            if rules.fire(moment.astimezone(zone)):
                expected.append(moment)
        found = []
        for moment in Cron.parse(expression).after(start, zone):
            if moment > start + span:
                break
            found.append(moment)
        assert found == expected, (expression, zone, start)


@pytest.mark.parametrize(
    ("expression", "zone", "start", "times"),
    [
        # The clocks of London skip 01:30 on 29 March 2026, and show it twice on 25 October.
        ("30 1 * * *", "Europe/London", "2026-03-28T12:00Z", ["2026-03-30T00:30Z"]),
        ("30 1 * * *", "Europe/London", "2026-10-24T12:00Z", ["2026-10-25T00:30Z", "2026-10-25T01:30Z"]),
        ("0 6 * * 1-5", "Europe/London", "2026-03-27T12:00Z", ["2026-03-30T05:00Z", "2026-03-31T05:00Z"]),
        # The 13th, and every Friday; with a star in one of the two fields, both have to fit.
        ("0 0 13 * 5", "UTC", "2026-03-10T00:00Z", ["2026-03-13T00:00Z", "2026-03-20T00:00Z"]),
        ("0 0 */2 * 1", "UTC", "2026-06-01T12:00Z", ["2026-06-03T00:00Z", "2026-06-05T00:00Z"]),
        ("@daily", "Asia/Kolkata", "2026-01-01T00:00Z", ["2026-01-01T18:30Z"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", ["2028-02-29T00:00Z"]),
        ("0 0 30 2 *", "UTC", "2026-01-01T00:00Z", []),
    ],
)
def test_times(expression: str, zone: str, start: str, times: list[str]) -> None:
    found = Cron.parse(expression).after(datetime.fromisoformat(start), ZoneInfo(zone))
    assert list(itertools.islice(found, len(times) or 1)) == [datetime.fromisoformat(one) for one in times]


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("0 6 * *", "must have five fields"),
        ("* * * * * *", "must have five fields"),
        ("60 * * * *", '"60" is not a minute'),
        ("0 0 0 * *", "day of month"),
        ("0 0 * * 7", "Sunday is 0"),
        ("0 0 L * *", "day of month"),
        ("0 0 * * 5#2", "weekday"),
        ("5-1 * * * *", "its beginning is after its end"),
        ("*/0 * * * *", "a step is a number from 1 on"),
        ("1,,2 * * * *", "minute"),
        ("@every 1h", "must have five fields"),
    ],
)
def test_wrong_expressions(expression: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Cron.parse(expression)
