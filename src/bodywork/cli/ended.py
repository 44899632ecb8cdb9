"""What is said when a run has ended, by every command that makes runs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from bodywork.cli.options import print_json
from bodywork.cli.status import service_lines
from bodywork.errors import RunFailedError
from bodywork.run.states import RunState

if TYPE_CHECKING:
    from bodywork.app.execution import Outcome
    from bodywork.app.parts import Parts
    from bodywork.app.where import Where


def finish(parts: Parts, where: Where, outcome: Outcome, output: str) -> int:
    """Print the summary and return the exit code of a cancelled run, 0 of a good one.

    Raises RunFailedError when the run has failed.
    """
    from bodywork.app.status import status

    now = status(parts, where, outcome.pipeline, outcome.run)
    if output == "json":
        print_json(now.document())
    elif outcome.state is RunState.SUCCEEDED:
        click.echo(
            f"run {outcome.run} of {outcome.pipeline} {click.style('succeeded', fg='green', bold=True)}"
        )
        for line in service_lines(now.services):
            click.echo(line)
    name = shlex.quote(outcome.pipeline)
    if outcome.state is RunState.RUNNING:
        click.echo(
            f"run {outcome.run} goes on in the cluster; see it: "
            f"bodywork logs {name} --follow --target {where.target}",
            err=True,
        )
        return 0
    if outcome.state is RunState.CANCELLED:
        click.echo(f"run {outcome.run} was cancelled; go on with: bodywork resume {name}", err=True)
        return 130
    if outcome.state is not RunState.SUCCEEDED:
        raise RunFailedError(
            f"run {outcome.run} of {outcome.pipeline} failed: {outcome.reason}",
            hint=f"all output: bodywork logs {name} --run {outcome.run}; after a change of the project "
            f"deploy it again; when the cause lay elsewhere and is gone: bodywork resume {name}",
        )
    return 0
