"""What people read of a schedule that looks at its branch."""

from __future__ import annotations

import click
import pytest

from bodywork.cli.schedule_view import list_lines, rule, show_lines
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition
from bodywork.spec.model import Schedule


def definition(seconds: float) -> Definition:
    pushed = Schedule(on_push=seconds, timezone="Europe/London")
    return Definition(name="iris", pipeline="iris", repository="https://git.example/iris", rule=pushed)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (10.0, "10 s"),
        (60.0, "minute"),
        (90.0, "90 s"),
        (120.0, "2 minutes"),
        (3600.0, "hour"),
        (86400.0, "24 hours"),
    ],
)
def test_how_often_is_said_in_words(seconds: float, said: str) -> None:
    assert rule(definition(seconds)) == f"when its branch has moved, looked at every {said}"


def test_it_says_when_it_looked_and_why_it_could_not() -> None:
    kept = Kept(definition=definition(60.0), made=0.0, paused=None, last=0.0, trouble="away", looked=86400.0)
    lines = [click.unstyle(line) for line in show_lines(kept, None)]
    assert "its branch was last looked at Fri 1970-01-02 01:00 BST" in lines, "as London had it then"
    assert "trouble: away" in lines
    (line,) = list_lines([(kept, None)])
    assert click.unstyle(line).endswith("trouble: away")
