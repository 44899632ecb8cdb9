"""`bodywork delete`."""

from __future__ import annotations

import sys

import click

from bodywork.cli import options


@click.command(epilog="Example: bodywork delete iris --yes")
@options.pipeline
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.target
def command(pipeline: str, yes: bool, target: str) -> None:
    """Remove PIPELINE: stop its services, and delete its releases, runs and logs."""
    from bodywork.app.parts import Parts
    from bodywork.app.past import records_of
    from bodywork.app.stop import delete
    from bodywork.errors import UsageError

    parts = Parts(Parts.ours_now())
    runs = len(records_of(parts, pipeline))
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("this cannot be undone: say --yes where nobody can be asked")
        question = (
            f"Stop the services of {pipeline} and delete its {runs} run{'s' if runs > 1 else ''} and logs?"
        )
        if not click.confirm(question, err=True):
            raise UsageError("nothing was deleted")
    services = delete(parts, pipeline, target=target)
    stopped = f", stopped {', '.join(services)}" if services else ""
    click.echo(f"deleted {pipeline}: {runs} run{'s' if runs > 1 else ''}{stopped}")
