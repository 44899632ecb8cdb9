"""`bodywork stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.where import Where


@click.command(epilog="Example: bodywork stop iris")
@options.pipeline
@options.where
def command(pipeline: str, where: Where) -> None:
    """Cancel the run of PIPELINE that is in progress, or close an interrupted one.

    Its batch stages are ended, a half-done rollout is undone; services go on serving what they served.
    """
    from bodywork.app.parts import Parts
    from bodywork.app.stop import stop
    from bodywork.cli.notes import Notes

    record = stop(Parts(Parts.ours_now(), note=Notes().note), where, pipeline)
    if record is None:
        click.echo(f"pipeline {pipeline} has no run in progress", err=True)
    else:
        click.echo(f"run {record.run} of {pipeline} is {record.state}")
