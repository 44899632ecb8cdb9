"""`bodywork logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.site import Chunk
    from bodywork.app.where import Where


@click.command(epilog="Example: bodywork logs iris serve --follow")
@options.pipeline
@click.argument("stage", required=False)
@click.option("--run", help="The run, or the beginning of its id (default: the newest).")
@click.option("--follow", is_flag=True, help="Go on as more is printed; end with Ctrl-C.")
@options.where
def command(pipeline: str, stage: str | None, run: str | None, follow: bool, where: Where) -> None:
    """Show what the stages of a run of PIPELINE have printed, or STAGE alone.

    Logs stay after the run; those of services are kept up to a size. One stage's lines come as it
    printed them, those of several have the stage's name before them.
    """
    from bodywork.app.logs import logs
    from bodywork.app.parts import Parts
    from bodywork.cli.notes import Notes

    def show(chunk: Chunk) -> None:
        if stage is not None and "/" not in chunk.source:
            click.echo(chunk.text, nl=False)
            return
        lines = chunk.text.removesuffix("\n").split("\n")
        click.echo("".join(f"{chunk.source} | {line}\n" for line in lines), nl=False)

    logs(Parts(Parts.ours_now(), note=Notes().note), where, pipeline, stage, run, follow=follow, show=show)
