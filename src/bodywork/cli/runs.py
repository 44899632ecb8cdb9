"""`bodywork runs`."""

from __future__ import annotations

import time

import click

from bodywork.cli import options
from bodywork.cli.words import COLOURS, ago, duration


@click.command(epilog="Example: bodywork runs iris --limit 5")
@options.any_pipeline
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to show.")
@options.output
def command(pipeline: str | None, limit: int, output: str) -> None:
    """List the runs of PIPELINE, or of all pipelines, newest first."""
    from bodywork.app.parts import Parts
    from bodywork.app.past import records_of, state_of
    from bodywork.app.status import run_document

    parts = Parts(Parts.ours_now())
    records = records_of(parts, pipeline)[:limit] if pipeline else parts.history.runs(limit=limit)
    if output == "json":
        options.print_json([run_document(parts, record) for record in records])
        return
    if not records:
        click.echo("there are no runs yet; make one with: bodywork deploy REPOSITORY", err=True)
    width = max((len(record.pipeline) for record in records), default=0)
    for record in records:
        state = state_of(parts, record)
        word = click.style(f"{state:11}", fg=COLOURS[str(state)])
        took = duration(record.ended - record.started) if record.ended else ""
        when = ago(time.time() - record.started)
        line = f"{record.run}  {record.pipeline:{width}}  {word}  {record.commit[:12]}  {when:10}  {took:>12}"
        click.echo(f"{line}  {record.reason}".rstrip())
