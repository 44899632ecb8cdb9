"""A back-fill on the screen: runs of several days at the same time, and a table of them at the end."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bodywork.cli.options import print_json
from bodywork.cli.words import COLOURS, duration
from bodywork.errors import RunFailedError

if TYPE_CHECKING:
    from bodywork.app.day_runs import Backfill, DayRun
    from bodywork.app.days import Days


def finish_days(ended: Backfill, days: Days, output: str) -> int:
    """Print the summary and return the exit code of a cancelled back-fill, 0 of a good one.

    Raises RunFailedError when a day has failed.
    """
    if output == "json":
        print_json(ended.document())
    else:
        click.echo("\n".join(_lines(ended)))
    again = "run the same command again: only days that have not succeeded are run"
    logs = f"bodywork logs {shlex.quote(ended.pipeline)} --run RUN"
    if ended.cancelled:
        click.echo(f"the back-fill {days} was cancelled; to go on, {again}", err=True)
        return 130
    if ended.failed:
        count = f"{ended.failed} of {len(ended.days)} days failed"
        rest = f", {ended.left - ended.failed} were not run" if ended.left > ended.failed else ""
        raise RunFailedError(
            f"back-fill {days} of {ended.pipeline}: {count}{rest}",
            hint=f"what a day printed: {logs}; when the cause is gone, {again}",
        )
    return 0


def _lines(ended: Backfill) -> Iterator[str]:
    yield f"{ended.pipeline} at commit {ended.commit[:12]}"
    width = max(len(one.record.run) if one.record else 0 for one in ended.days)
    for one in ended.days:
        yield f"  {one.day}  {one.record.run if one.record else '':{width}}  {_words(one)}".rstrip()


def _words(one: DayRun) -> str:
    word = click.style(f"{one.state:11}", fg=COLOURS.get(one.state, "bright_black"))
    if one.earlier:
        return f"{word}  earlier"
    if one.record is None:
        return word.rstrip()
    took = duration((one.record.ended or time.time()) - one.record.started)
    return f"{word}  {took:>12}  {one.record.reason}".rstrip()
