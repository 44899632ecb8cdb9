"""Schedules, their times, and what became of those, as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from bodywork.app.schedules import next_times
from bodywork.cli.words import COLOURS, duration
from bodywork.schedule.book import Kept
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Cause, Firing, State

if TYPE_CHECKING:
    from bodywork.app.scheduling import Made

LOCAL, UNIVERSAL = "%a %Y-%m-%d %H:%M %Z", "%Y-%m-%d %H:%M UTC"
HEADS = {Cause.PUSH: "a push", Cause.ASKED: "run-now"}
COLOUR = COLOURS | {"skipped": "yellow", "missed": "yellow", "waiting": "blue"}


def made_lines(made: Made, kept: Kept) -> Iterator[str]:
    """What was made, or what has changed."""
    name = click.style(made.definition.name, bold=True)
    if made.before is None:
        yield f"schedule {name} is made: {rule(made.definition)}"
    elif made.changes:
        yield f"schedule {name} is changed"
        yield from (f"  {change}" for change in made.changes)
    else:
        yield f"schedule {name} is as it was: {rule(made.definition)}"
    yield f"it runs pipeline {made.definition.pipeline} at {source(made.definition)}"
    if kept.paused is not None:
        yield f"it is paused; go on with: bodywork schedule resume {made.definition.name}"
    else:
        yield from times_lines(made.definition)


def rule(definition: Definition) -> str:
    """When it runs, in words."""
    asked = definition.rule
    parts = [f'"{asked.cron}" in {asked.timezone}'] if asked.cron is not None else []
    if asked.on_push is not None:
        parts.append(f"when its branch has moved, looked at every {_every(asked.on_push)}")
    return ", and ".join(parts)


def _every(seconds: float) -> str:
    """`90 s`, `minute`, `2 hours`."""
    for length, unit in ((3600, "hour"), (60, "minute")):
        if seconds % length == 0:
            return unit if seconds == length else f"{seconds / length:.0f} {unit}s"
    return f"{seconds:g} s"


def source(definition: Definition) -> str:
    ref = {None: "the default branch", "HEAD": "the checked-out commit"}.get(definition.ref, definition.ref)
    return f"{ref} of {definition.repository}"


def times_lines(definition: Definition) -> Iterator[str]:
    """The next times, in the schedule's zone and in UTC."""
    times = next_times(definition)
    if times:
        yield "next times"
    for local, utc in times:
        yield f"  {local.strftime(LOCAL):27}  {utc.strftime(UNIVERSAL)}"


def list_lines(every: Sequence[tuple[Kept, Firing | None]]) -> Iterator[str]:
    """A line for each schedule."""
    names = max((len(kept.definition.name) for kept, _ in every), default=0)
    rules = max((len(rule(kept.definition)) for kept, _ in every), default=0)
    for kept, last in every:
        line = f"{kept.definition.name:{names}}  {rule(kept.definition):{rules}}  {_next(kept):27}"
        trouble = f"  {_trouble(kept)}" if kept.trouble else ""
        yield f"{line}  {_ended(last)}{trouble}".rstrip()


def show_lines(kept: Kept, last: Firing | None) -> Iterator[str]:
    """All there is to say of one."""
    one, asked = kept.definition, kept.definition.rule
    yield f"schedule {click.style(one.name, bold=True)}: {rule(one)}"
    yield f"pipeline {one.pipeline}, {source(one)}{f', file {one.file}' if one.file else ''}"
    deadline = duration(asked.deadline) if asked.deadline else "none"
    yield f"overlap {asked.overlap}, missed {asked.missed}, deadline {deadline}, keep {asked.keep} runs"
    if kept.looked is not None:
        yield f"its branch was last looked at {_local(one, kept.looked)}"
    if kept.trouble:
        yield _trouble(kept)
    if last is not None:
        yield f"last: {_when(one, last)}  {_ended(last)}  {last.reason}".rstrip()
    if kept.paused is not None:
        since = _local(one, kept.paused)
        yield f"paused since {since}; go on with: bodywork schedule resume {one.name}"
    else:
        yield from times_lines(one)


def history_lines(kept: Kept, firings: Iterable[Firing]) -> Iterator[str]:
    """A line for each time, newest first."""
    for firing in firings:
        state = click.style(f"{firing.state:11}", fg=COLOUR[str(firing.state)])
        line = f"{_when(kept.definition, firing):27}  {state}  {firing.run:20}"
        yield f"{line}  {firing.reason}".rstrip()


def _when(definition: Definition, firing: Firing) -> str:
    at = _local(definition, firing.due)
    return f"{at} ({HEADS[firing.cause]})" if firing.cause in HEADS else at


def _local(definition: Definition, at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone(definition.zone).strftime(LOCAL)


def _trouble(kept: Kept) -> str:
    return f"{click.style('trouble', fg='red')}: {kept.trouble}"


def _next(kept: Kept) -> str:
    if kept.paused is not None:
        return "paused"
    times = next_times(kept.definition, count=1)
    return times[0][0].strftime(LOCAL) if times else "at a push"


def _ended(last: Firing | None) -> str:
    if last is None:
        return "has not fired yet"
    state = click.style(str(last.state), fg=COLOUR[str(last.state)])
    return state if last.state in (State.SKIPPED, State.MISSED) else f"{state} {last.run}".rstrip()
