"""`bodywork deploy`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.deploy import Request


@click.command(
    epilog="Examples: bodywork deploy .   bodywork deploy git@host:team/iris.git --ref v1.2   "
    "bodywork deploy . --file examples/train-and-serve/bodywork.yaml"
)
@options.project
@click.option("--fail-fast", is_flag=True, help="When a stage fails, stop the others of its step.")
@click.option("--wait", is_flag=True, help="Wait for a run of the same pipeline that is in progress.")
@click.option(
    "--pass-env", multiple=True, metavar="NAME", help="Let stages see this variable of your environment."
)
@click.option(
    "--detach", is_flag=True, help="On kubernetes: let the cluster carry the run out, and do not wait for it."
)
@click.option(
    "--date",
    metavar="DAY",
    help="The day (YYYY-MM-DD) that the run is for; stages find it in BODYWORK_DATE.",
)
@options.output
def command(
    request: Request,
    fail_fast: bool,
    wait: bool,
    pass_env: tuple[str, ...],
    detach: bool,
    date: str | None,
    output: str,
) -> int:
    """Run the workflow of the project in REPOSITORY at one commit.

    REPOSITORY is a folder of this machine or the URL of a Git repository (default: this folder).
    Uncommitted work in a folder is deployed as a snapshot commit of its own.
    """
    from bodywork.app.days import read_days
    from bodywork.app.deploy import deploy
    from bodywork.app.parts import Parts
    from bodywork.cli.ended import finish
    from bodywork.cli.run_view import RunWatcher

    days = read_days(date) if date is not None else None
    if days and not days.alone:
        raise click.UsageError("--date takes one day")
    request = replace(
        request,
        fail_fast=fail_fast,
        wait=wait,
        pass_env=frozenset(pass_env),
        detach=detach,
        date=days.first if days else None,
    )
    with RunWatcher(output) as watcher:
        parts = Parts(Parts.ours_now(), note=watcher.note)
        outcome = deploy(parts, request, watcher)
    return finish(parts, request.where, outcome, output)
