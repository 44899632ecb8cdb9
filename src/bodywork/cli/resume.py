"""`bodywork resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.where import Where


@click.command(epilog="Example: bodywork resume iris")
@options.pipeline
@click.option("--run", help="The run, or the beginning of its id (default: the newest).")
@options.where_to_run
@options.output
def command(pipeline: str, run: str | None, where: Where, output: str) -> int:
    """Go on with a run of PIPELINE that was interrupted, cancelled or has failed.

    Stages that have succeeded are not run again; the commit and the packages stay the same.
    """
    from bodywork.app.parts import Parts
    from bodywork.app.resume import resume
    from bodywork.cli.ended import finish
    from bodywork.cli.run_view import RunWatcher

    with RunWatcher(output) as watcher:
        parts = Parts(Parts.ours_now(), note=watcher.note)
        outcome = resume(parts, where, pipeline, run, watcher)
    return finish(parts, where, outcome, output)
