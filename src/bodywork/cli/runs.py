"""`bodywork runs`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from bodywork.cli import options
from bodywork.cli.words import COLOURS, ago, duration

if TYPE_CHECKING:
    from bodywork.app.where import Where

SCHEDULE = "schedule"


@click.command(epilog="Example: bodywork runs iris --limit 5")
@options.any_pipeline
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to show.")
@options.where
@options.output
def command(pipeline: str | None, limit: int, where: Where, output: str) -> None:
    """List the runs of PIPELINE, or of all pipelines, newest first."""
    from bodywork.app.parts import Parts
    from bodywork.app.status import run_document
    from bodywork.app.status import runs as newest_runs

    parts = Parts(Parts.ours_now())
    found = newest_runs(parts, where, pipeline, limit)
    if output == "json":
        options.print_json([run_document(record, state) for record, state in found])
        return
    if not found:
        click.echo("there are no runs yet; make one with: bodywork deploy REPOSITORY", err=True)
    width = max((len(record.pipeline) for record, _ in found), default=0)
    ids = max((len(record.run) for record, _ in found), default=0)
    dated = any(record.date for record, _ in found)
    scheduled = any(record.kind == SCHEDULE for record, _ in found)
    for record, state in found:
        day = f"{record.date or '':10}  " if dated else ""
        by = f"{SCHEDULE if record.kind == SCHEDULE else '':8}  " if scheduled else ""
        word = click.style(f"{state:11}", fg=COLOURS[str(state)])
        took = duration(record.ended - record.started) if record.ended else ""
        when = ago(time.time() - record.started)
        what = f"{record.run:{ids}}  {record.pipeline:{width}}  {word}  {record.commit[:12]}  {day}{by}"
        click.echo(f"{what}{when:10}  {took:>12}  {record.reason}".rstrip())
