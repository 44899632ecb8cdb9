"""`bodywork plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.deploy import Request


@click.command(epilog="Example: bodywork plan https://host/team/iris --ref main")
@options.project
@options.output
def command(request: Request, output: str) -> None:
    """Show what a deploy of REPOSITORY would do, and why; change nothing.

    REPOSITORY is a folder of this machine or the URL of a Git repository (default: this folder).
    """
    from bodywork.app.deploy import plan, unbuilt
    from bodywork.app.parts import Parts
    from bodywork.cli.notes import Notes
    from bodywork.cli.plan_view import plan_document, plan_lines

    notes = Notes()
    parts = Parts(Parts.ours_now(), note=notes.note)
    planned = plan(parts, request, notes)
    missing = unbuilt(parts, planned)
    if output == "json":
        document: dict[str, Any] = plan_document(planned, missing)
        options.print_json(document)
    else:
        click.echo("\n".join(plan_lines(planned, missing)))
