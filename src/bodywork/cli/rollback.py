"""`bodywork rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.where import Where


@click.command(epilog="Example: bodywork rollback iris --to 20260301-060000-1a2b")
@options.pipeline
@click.option("--to", metavar="RUN", help="The run that made the release (default: the release before).")
@options.where_to_run
@options.output
def command(pipeline: str, to: str | None, where: Where, output: str) -> int:
    """Make the services of an earlier release of PIPELINE the current ones again.

    They get the commit, the packages and the models that they had; no batch stage is run.
    """
    from bodywork.app.parts import Parts
    from bodywork.app.rollback import rollback
    from bodywork.cli.ended import finish
    from bodywork.cli.run_view import RunWatcher

    with RunWatcher(output) as watcher:
        parts = Parts(Parts.ours_now(), note=watcher.note)
        outcome = rollback(parts, where, pipeline, to, watcher)
    return finish(parts, where, outcome, output)
