"""`bodywork firing`: what the agent runs at a time of a schedule; not for people."""

from __future__ import annotations

import click


@click.command(hidden=True, epilog="Example: bodywork firing 12")
@click.argument("number", type=int)
def command(number: int) -> int:
    """Carry out firing NUMBER of this machine's schedules, unless another process does."""
    from bodywork.app.firing import fire
    from bodywork.app.parts import Parts
    from bodywork.cli.notes import Notes
    from bodywork.run.states import RunState

    notes = Notes()
    outcome = fire(Parts(Parts.ours_now(), note=notes.note), number, notes)
    if outcome is None:
        click.echo(f"firing {number} is carried out by another process, or has been", err=True)
        return 0
    click.echo(f"run {outcome.run} of {outcome.pipeline} {outcome.state}  {outcome.reason}".rstrip())
    return 0 if outcome.state is RunState.SUCCEEDED else 1
