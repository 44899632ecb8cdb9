"""`bodywork delete`."""

from __future__ import annotations

import click

from bodywork.cli import options
from bodywork.cli.confirm import confirm


@click.command(epilog="Example: bodywork delete iris --yes")
@options.pipeline
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.target
def command(pipeline: str, yes: bool, target: str) -> None:
    """Remove PIPELINE: stop its services, and delete its releases, runs and logs."""
    from bodywork.app.parts import Parts
    from bodywork.app.past import records_of
    from bodywork.app.stop import delete

    parts = Parts(Parts.ours_now())
    runs = len(records_of(parts, pipeline))
    if not yes:
        question = (
            f"Stop the services of {pipeline} and delete its {runs} run{'s' if runs > 1 else ''} and logs?"
        )
        confirm(question, otherwise="nothing was deleted")
    services = delete(parts, pipeline, target=target)
    stopped = f", stopped {', '.join(services)}" if services else ""
    click.echo(f"deleted {pipeline}: {runs} run{'s' if runs > 1 else ''}{stopped}")
