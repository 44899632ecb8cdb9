"""Words about the work, on stderr: stdout is for data."""

from __future__ import annotations

import click

from bodywork.run.events import Event
from bodywork.run.plan import Plan


class Notes:
    """A watcher that says what is being done before a run begins."""

    def note(self, text: str) -> None:
        click.secho(text, err=True, dim=True)

    def warning(self, text: str) -> None:
        click.echo(f"{click.style('warning', fg='yellow', bold=True)}: {text}", err=True)

    def planned(self, plan: Plan, *, resumed: bool = False) -> None:
        return

    def event(self, event: Event) -> None:
        return
