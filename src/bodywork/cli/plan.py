"""`bodywork plan`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from bodywork.cli import options


@click.command(epilog="Example: bodywork plan https://host/team/iris --ref main")
@options.project
@options.output
def command(
    repository: str,
    ref: str | None,
    file: str | None,
    target: str,
    only: tuple[str, ...],
    as_of: datetime | None,
    offline: bool,
    output: str,
) -> None:
    """Show what a deploy of REPOSITORY would do, and why; change nothing.

    REPOSITORY is a folder of this machine or the URL of a Git repository (default: this folder).
    """
    from bodywork.app.deploy import Request, plan
    from bodywork.app.parts import Parts
    from bodywork.cli.notes import Notes
    from bodywork.cli.plan_view import plan_document, plan_lines

    notes = Notes()
    parts = Parts(Parts.ours_now(), note=notes.note)
    request = Request(
        repository=repository,
        ref=ref,
        file=file,
        target=target,
        only=frozenset(only) or None,
        as_of=as_of,
        offline=offline,
    )
    planned = plan(parts, request, notes)
    built = {s.environment for s in planned.all_stages if parts.environments.built(s.environment)}
    if output == "json":
        document: dict[str, Any] = plan_document(planned, built)
        options.print_json(document)
    else:
        click.echo("\n".join(plan_lines(planned, built)))
