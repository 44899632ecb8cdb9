"""`bodywork delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bodywork.cli import options
from bodywork.cli.confirm import confirm
from bodywork.errors import NotFoundError

if TYPE_CHECKING:
    from bodywork.app.parts import Parts
    from bodywork.app.where import Where


@click.command(epilog="Example: bodywork delete iris --yes")
@options.pipeline
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.where
def command(pipeline: str, yes: bool, where: Where) -> None:
    """Remove PIPELINE: stop its services, and delete its releases, runs and logs."""
    from bodywork.app.parts import Parts
    from bodywork.app.stop import delete
    from bodywork.app.where import LOCAL
    from bodywork.cli.notes import Notes

    parts = Parts(Parts.ours_now(), note=Notes().note)
    runs = _count_runs(parts, where, pipeline)
    if not yes:
        question = (
            f"Stop the services of {pipeline} and delete its {runs} run{'s' if runs > 1 else ''} and logs?"
        )
        confirm(question, otherwise="nothing was deleted")
    services = delete(parts, where, pipeline)
    stopped = f", stopped {', '.join(services)}" if services else ""
    click.echo(f"deleted {pipeline}: {runs} run{'s' if runs > 1 else ''}{stopped}")
    for name in _on_schedules(parts, where, pipeline) if where.kind == LOCAL else ():
        click.echo(f"schedule {name} will run it again; delete it: bodywork schedule delete {name}", err=True)


def _count_runs(parts: Parts, where: Where, pipeline: str) -> int:
    """Raises NotFoundError, which names the schedules of a pipeline that has not run yet."""
    from bodywork.app.stop import count_runs

    try:
        return count_runs(parts, where, pipeline)
    except NotFoundError:
        if not (names := _on_schedules(parts, where, pipeline)):
            raise
        raise NotFoundError(
            f"pipeline {pipeline} has no runs yet; schedule {', '.join(names)} will run it",
            hint=f"delete the schedule: bodywork schedule delete {names[0]}",
        ) from None


def _on_schedules(parts: Parts, where: Where, pipeline: str) -> list[str]:
    """The schedules that run a pipeline."""
    from bodywork.app.schedules import schedules_of

    every = (kept.definition for kept in schedules_of(parts, where).kept())
    return [one.name for one in every if one.pipeline == pipeline]
