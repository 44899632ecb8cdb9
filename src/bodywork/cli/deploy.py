"""`bodywork deploy`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.days import Days
    from bodywork.app.deploy import Request


@click.command(
    epilog="Examples: bodywork deploy .   bodywork deploy git@host:team/iris.git --ref v1.2   "
    "bodywork deploy . --file examples/train-and-serve/bodywork.yaml   "
    "bodywork deploy . --date 2026-03-01..2026-03-31"
)
@options.project
@click.option(
    "--fail-fast", is_flag=True, help="When a stage fails, stop the others of its step; begin no further day."
)
@click.option("--wait", is_flag=True, help="Wait for a run of the same pipeline that is in progress.")
@click.option(
    "--pass-env", multiple=True, metavar="NAME", help="Let stages see this variable of your environment."
)
@click.option(
    "--detach", is_flag=True, help="On kubernetes: let the cluster carry the run out, and do not wait for it."
)
@click.option(
    "--date",
    metavar="DAY|FIRST..LAST",
    help="The day (YYYY-MM-DD) that the run is for; stages find it in BODYWORK_DATE. For a range: run the "
    "batch stages once for each day that has not succeeded yet at this commit.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 16),
    metavar="N",
    help="With a range of days: how many are in progress at a time (default: 3).",
)
@click.option("--again", is_flag=True, help="With a range of days: run those that have succeeded, too.")
@options.output
def command(
    request: Request,
    fail_fast: bool,
    wait: bool,
    pass_env: tuple[str, ...],
    detach: bool,
    date: str | None,
    parallel: int | None,
    again: bool,
    output: str,
) -> int:
    """Run the workflow of the project in REPOSITORY at one commit.

    REPOSITORY is a folder of this machine or the URL of a Git repository (default: this folder).
    Uncommitted work in a folder is deployed as a snapshot commit of its own.
    """
    from bodywork.app.days import read_days

    request = replace(request, fail_fast=fail_fast, wait=wait, pass_env=frozenset(pass_env), detach=detach)
    days = read_days(date) if date is not None else None
    if days is not None and not days.alone:
        return _backfill(request, days, parallel, again, output)
    if parallel or again:
        raise click.UsageError(f"{'--parallel' if parallel else '--again'} needs --date with a range of days")
    return _deploy(replace(request, date=days.first if days else None), output)


def _deploy(request: Request, output: str) -> int:
    from bodywork.app.deploy import deploy
    from bodywork.app.parts import Parts
    from bodywork.cli.ended import finish
    from bodywork.cli.run_view import RunWatcher

    with RunWatcher(output) as watcher:
        parts = Parts(Parts.ours_now(), note=watcher.note)
        outcome = deploy(parts, request, watcher)
    return finish(parts, request.where, outcome, output)


def _backfill(request: Request, days: Days, parallel: int | None, again: bool, output: str) -> int:
    from bodywork.app.backfill import PARALLEL, How, backfill
    from bodywork.app.parts import Parts
    from bodywork.cli.days_view import finish_days
    from bodywork.cli.run_view import RunWatcher

    with RunWatcher(output) as watcher:
        parts = Parts(Parts.ours_now(), note=watcher.note)
        how = How(watch=lambda day: RunWatcher(output, day=day), parallel=parallel or PARALLEL, again=again)
        ended = backfill(parts, request, days, watcher, how)
    return finish_days(ended, days, output)
