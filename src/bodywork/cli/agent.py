"""`bodywork agent`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import click

from bodywork.cli import options


@click.group(epilog="Example: bodywork agent status")
def command() -> None:
    """Look after the agent: the background process that keeps services running.

    It starts by itself with the first service, and leaves when there is none left.
    """


@command.command(epilog="Example: bodywork agent status --output json")
@options.output
def status(output: str) -> None:
    """Say whether the agent runs, and what it looks after."""
    from bodywork.app.parts import Parts

    parts = Parts(Parts.ours_now())
    found = asyncio.run(parts.agent.status())
    if output == "json":
        options.print_json({"running": found is not None} | (asdict(found) if found else {}))
    elif found is None:
        click.echo("the agent is not running")
    else:
        click.echo(f"the agent runs: process {found.pid}, {found.services} services")


@command.command(epilog="Example: bodywork agent start")
def start() -> None:
    """Start the agent, and with it the services that were running when it was stopped."""
    from bodywork.app.parts import Parts

    parts = Parts(Parts.ours_now())
    parts.home.make()
    asyncio.run(parts.agent.ensure())
    click.echo("the agent runs")


@command.command(epilog="Example: bodywork agent stop")
def stop() -> None:
    """Stop the agent and all services. They come back with `bodywork agent start`."""
    from bodywork.app.parts import Parts

    asyncio.run(Parts(Parts.ours_now()).agent.stop())
    click.echo("the agent and its services are stopped")


@command.command(hidden=True)
def run() -> None:
    """Be the agent. It is started by other commands, in the background."""
    from bodywork.app.parts import Parts
    from bodywork.targets.local.agent import serve

    parts = Parts(Parts.ours_now())
    asyncio.run(serve(parts.home.state, parts.history))
