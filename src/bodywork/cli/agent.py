"""`bodywork agent`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bodywork.app.times import rfc3339
from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.here.service_unit import Unit
    from bodywork.targets.local.protocol import AgentStatus, ServiceStatus


@click.group(epilog="Example: bodywork agent status")
def command() -> None:
    """Look after the agent: the background process that keeps services running and fires schedules.

    It starts by itself with the first service or schedule, and leaves when there is none left.
    """


@command.command(epilog="Example: bodywork agent status --output json")
@options.output
def status(output: str) -> None:
    """Say whether the agent runs, and what it looks after."""
    from bodywork.app.parts import Parts

    parts = Parts(Parts.ours_now())

    async def ask() -> tuple[AgentStatus | None, list[ServiceStatus]]:
        return await parts.agent.status(), await parts.agent.services()

    found, services = asyncio.run(ask())
    if output == "json":
        options.print_json(document(found, services))
    elif found is None:
        stopped = [f"{pipeline}/{stage}" for pipeline, stage, _ in parts.history.services()]
        click.echo("the agent is not running; it starts by itself with the first service or schedule")
        if stopped:
            click.echo(f"stopped services: {', '.join(stopped)}; bring them back with: bodywork agent start")
    else:
        click.echo(f"the agent runs: process {found.pid}, watched by process {found.watchdog}")
        if found.schedules:
            many = "s" * (found.schedules != 1)
            click.echo(f"  {found.schedules} schedule{many}; see them: bodywork schedule list")
        for service in services:
            click.echo("\n".join(_lines(service)))


def _lines(service: ServiceStatus) -> Iterator[str]:
    """A service, and a line for each of its replicas."""
    name = f"{service.definition.pipeline}/{service.definition.stage}"
    yield f"  {name}  {service.state}  {service.url}  {service.reason}".rstrip()
    for replica in service.replicas:
        times = f"{replica.restarts} time{'s' * (replica.restarts != 1)}"
        restarts = f", restarted {times}" if replica.restarts else ""
        why = f": {replica.reason}" if replica.reason else ""
        yield f"    replica {replica.number}  process {replica.pid}  {replica.state}{restarts}{why}"


def document(found: AgentStatus | None, services: list[ServiceStatus]) -> dict[str, Any]:
    """The agent and what it looks after, as documented for `--output json`."""
    about = asdict(found) | {"started": rfc3339(found.started)} if found else {}
    return {"running": found is not None} | about | {"services": [_service(one) for one in services]}


def _service(service: ServiceStatus) -> dict[str, Any]:
    """A service with its replicas; never its variables."""
    return {
        "pipeline": service.definition.pipeline,
        "name": service.definition.stage,
        "url": service.url,
        "state": service.state,
        "reason": service.reason,
        "release": service.definition.release,
        "replicas": [asdict(replica) for replica in service.replicas],
    }


@command.command(epilog="Example: bodywork agent start")
def start() -> None:
    """Start the agent, and with it the services that were running when it was stopped, and schedules."""
    from bodywork.app.parts import Parts

    parts = Parts(Parts.ours_now())
    parts.home.make()
    assert parts.history  # an agent that cannot open it would die again and again
    asyncio.run(parts.agent.ensure())
    click.echo("the agent runs")


@command.command(epilog="Example: bodywork agent stop")
def stop() -> None:
    """Stop the agent and all services; no schedule fires. All come back with `bodywork agent start`."""
    from bodywork.app.parts import Parts

    parts = Parts(Parts.ours_now())
    asyncio.run(parts.agent.stop())
    click.echo("the agent and its services are stopped")
    if parts.home.database.exists() and any(one.paused is None for one in parts.book.kept()):
        click.echo("schedules do not fire until: bodywork agent start", err=True)


@command.command(epilog="Example: bodywork agent install")
@click.option("--print", "only_print", is_flag=True, help="Print what would be written; write nothing.")
def install(only_print: bool) -> None:
    """Have the agent started with this machine: schedules fire and services run after a reboot.

    Writes a systemd user unit, or a launchd file on macOS, and enables it where that is possible.
    """
    from bodywork.app.here.service_unit import install as put
    from bodywork.app.here.service_unit import shown

    unit = _unit()
    if only_print:
        click.echo(unit.text, nl=False)
        return
    refused = put(unit)
    click.echo(f"wrote {unit.path}")
    if refused:
        click.echo(
            f"it could not be enabled from here ({refused}); enable it with: {shown(unit.on)}", err=True
        )
    else:
        click.echo("the agent starts with this machine")
    if unit.advice:
        click.echo(unit.advice, err=True)


@command.command(epilog="Example: bodywork agent uninstall")
def uninstall() -> None:
    """Undo `bodywork agent install`. An agent that runs goes on."""
    from bodywork.app.here.service_unit import uninstall as remove

    unit = _unit()
    click.echo(f"removed {unit.path}" if remove(unit) else f"there is no {unit.path}: nothing to undo")


def _unit() -> Unit:
    from bodywork.app.here.service_unit import unit_of
    from bodywork.app.parts import Parts

    ours = Parts.ours_now()
    return unit_of(Parts(ours).home, ours)


@command.command(hidden=True)
def run() -> None:
    """Be the agent. It is started by other commands, in the background."""
    from bodywork.app.here.timekeeping import be_the_agent
    from bodywork.app.parts import Parts

    asyncio.run(be_the_agent(Parts(Parts.ours_now())))
