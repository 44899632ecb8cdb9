"""`bodywork status`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from bodywork.cli import options
from bodywork.cli.words import COLOURS, ago, duration
from bodywork.run.states import RunState, StageState

if TYPE_CHECKING:
    from bodywork.app.status import Status
    from bodywork.app.where import Where
    from bodywork.run.plan import ObservedService


@click.command(epilog="Example: bodywork status iris --output json")
@options.any_pipeline
@click.option("--run", help="Show this run (default: the newest).")
@options.where
@options.output
def command(pipeline: str | None, run: str | None, where: Where, output: str) -> None:
    """Show all pipelines, or the stages of PIPELINE's newest run and its services as they are now."""
    from bodywork.app.parts import Parts
    from bodywork.app.status import overview, status

    parts = Parts(Parts.ours_now())
    if pipeline is None:
        found = overview(parts, where)
        if output == "json":
            options.print_json([one.document() for one in found])
        elif found:
            click.echo("\n".join(_overview_lines(found)))
        else:
            click.echo("nothing is deployed yet; deploy a project with: bodywork deploy REPOSITORY", err=True)
        return
    one = status(parts, where, pipeline, run)
    if output == "json":
        options.print_json(one.document())
    else:
        click.echo("\n".join(_lines(one)))


def service_lines(services: Sequence[ObservedService]) -> Iterator[str]:
    """A line for each service: where it answers, and how many replicas are ready."""
    width = max((len(service.name) for service in services), default=0)
    for service in services:
        good = service.ready == service.replicas
        ready = click.style(f"{service.ready}/{service.replicas} ready", fg="green" if good else "red")
        why = f"  {service.reason}" if service.reason else ""
        yield f"  {service.name:{width}}  {service.url}  {ready}  release {service.release}{why}"


def _overview_lines(found: Sequence[Status]) -> Iterator[str]:
    width = max(len(one.record.pipeline) for one in found)
    for one in found:
        state = click.style(f"{one.state:11}", fg=COLOURS[str(one.state)])
        when = ago(time.time() - one.record.started)
        yield f"{one.record.pipeline:{width}}  {state}  {one.record.commit[:12]}  {when}"
        yield from service_lines(one.services)


def _lines(one: Status) -> Iterator[str]:
    record = one.record
    state = click.style(str(one.state), fg=COLOURS[str(one.state)], bold=True)
    yield f"{record.pipeline} on {record.target}: run {record.run} {state}"
    yield f"commit {record.commit} ({record.ref} of {record.repository})"
    if record.date:
        yield f"date {record.date}{f' of the back-fill {record.backfill}' if record.backfill else ''}"
    if one.reason:
        yield f"reason: {one.reason}"
    yield "stages"
    width = max((len(planned.stage.name) for planned in one.plan.all_stages), default=0)
    for planned in one.plan.all_stages:
        stage = one.view.stages[planned.stage.name]
        took = ""
        if stage.started is not None and (stage.ended or one.state is RunState.RUNNING):
            took = f"  {duration((stage.ended or time.time()) - stage.started)}"
        state_word = one.state_of(planned.stage.name)
        word = click.style(f"{state_word:11}", fg=COLOURS[state_word])
        why = f"  {stage.reason}" if stage.reason and stage.state is not StageState.SUCCEEDED else ""
        yield f"  {planned.stage.name:{width}}  {planned.stage.kind:7}  {word}{took}{why}"
    if one.services:
        yield "services"
        yield from service_lines(one.services)
    if one.state is RunState.INTERRUPTED and not one.held_up:
        yield f"its command has died; go on with: bodywork resume {shlex.quote(record.pipeline)}"
