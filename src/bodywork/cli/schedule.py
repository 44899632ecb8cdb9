"""`bodywork schedule`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bodywork.cli import options
from bodywork.cli.confirm import confirm
from bodywork.cli.schedule_group import MAKE, Making, MakingGroup

if TYPE_CHECKING:
    from bodywork.app.git_access import GitAccess
    from bodywork.app.schedules import Schedules
    from bodywork.app.site import Chunk
    from bodywork.app.where import Where

PUSH = "60s"


def known_schedules(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The schedules of this machine that the shell offers to complete; none when they cannot be read."""
    from bodywork.app.parts import Parts
    from bodywork.errors import BodyworkError

    try:
        names = [kept.definition.name for kept in Parts(Parts.ours_now()).book.kept()]
    except BodyworkError:
        return []
    return [name for name in names if name.startswith(incomplete)]


name_argument = click.argument("name", shell_complete=known_schedules)


@click.group(
    cls=MakingGroup,
    epilog='Examples: bodywork schedule git@host:team/iris.git --cron "0 6 * * 1-5" --timezone Europe/London'
    "   bodywork schedule .   bodywork schedule history iris",
)
def command() -> None:
    """Run the workflow of the project in REPOSITORY by itself: at times, or when its branch has moved.

    REPOSITORY is a folder of this machine or the URL of a Git repository (default: this folder). What is
    not said here is taken from `schedule:` in bodywork.yaml. Each time takes the commit at which the branch
    is then; uncommitted work is never taken. Another schedule of the same name is changed.

    With the name of a command, it looks after the schedules that there are.
    """


@command.command(MAKE, cls=Making, hidden=True)
@click.argument("repository", default=".")
@click.option("--cron", metavar="TIMES", help='Five fields, like "0 6 * * 1-5", or @daily and its like.')
@click.option("--timezone", metavar="ZONE", help="The zone in which they are meant, like Europe/London.")
@click.option(
    "--on-push",
    is_flag=False,
    flag_value=PUSH,
    metavar="[SECONDS]",
    help=f"Look this often whether the branch has moved, and run when it has; without a number, {PUSH}. "
    "On Kubernetes rounded up to whole minutes.",
)
@click.option("--ref", help="Branch, tag or commit; without it the default branch, of a folder its HEAD.")
@click.option("--file", "-f", help="Path of bodywork.yaml, from REPOSITORY on (default: bodywork.yaml).")
@click.option("--name", metavar="NAME", help="The schedule's name (default: the pipeline's).")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "replace"]),
    help="While a run is in progress: skip the time (default), or cancel that run.",
)
@click.option(
    "--missed",
    type=click.Choice(["last", "none"]),
    help="Of times that came while the machine was off: the last one fires (default), or none.",
)
@click.option("--deadline", metavar="DURATION", help="Give a time up after this long, like 1h.")
@click.option(
    "--keep", type=int, metavar="NUMBER", help="How many runs are kept with their logs (default: 30)."
)
@options.where_to_run
@options.git_access
@options.output
def make_(
    repository: str,
    ref: str | None,
    file: str | None,
    name: str | None,
    where: Where,
    access: GitAccess,
    output: str,
    **rule: Any,
) -> None:
    """Put REPOSITORY on a schedule."""
    from bodywork.app.deploy import Request
    from bodywork.app.parts import Parts
    from bodywork.app.schedules import schedule_document, schedules_of
    from bodywork.app.scheduling import make
    from bodywork.cli.notes import Notes
    from bodywork.cli.schedule_view import made_lines

    if (pushed := rule["on_push"]) is not None:
        rule["on_push"] = f"{pushed}s" if pushed.isdigit() else pushed
    notes = Notes()
    parts = Parts(Parts.ours_now(), note=notes.note)
    request = Request(repository=repository, ref=ref, file=file, where=where, access=access)
    made = make(parts, request, name, rule, notes)
    schedules = schedules_of(parts, where)
    kept = schedules.get(made.definition.name)
    if output == "json":
        options.print_json(schedule_document(kept, where.target, _last(schedules, kept.definition.name)))
        return
    click.echo("\n".join(made_lines(made, kept)))
    if said := schedules.keeps_firing():
        click.echo(said, err=True)


@command.command("list", epilog="Example: bodywork schedule list --output json")
@options.where
@options.output
def list_(where: Where, output: str) -> None:
    """List the schedules with their next times, and how the last ones ended."""
    from bodywork.app.schedules import schedule_document
    from bodywork.cli.schedule_view import list_lines

    schedules = _open(where)
    every = [(kept, _last(schedules, kept.definition.name)) for kept in schedules.kept()]
    if output == "json":
        options.print_json([schedule_document(kept, where.target, last) for kept, last in every])
        return
    if not every:
        click.echo("there are no schedules yet; make one with: bodywork schedule REPOSITORY", err=True)
    for line in list_lines(every):
        click.echo(line)
    if every and (trouble := schedules.at_rest()):
        click.echo(trouble, err=True)


@command.command(epilog="Example: bodywork schedule show iris")
@name_argument
@options.where
@options.output
def show(name: str, where: Where, output: str) -> None:
    """Show schedule NAME: what it runs, its rule, and the next five times."""
    from bodywork.app.schedules import schedule_document
    from bodywork.cli.schedule_view import show_lines

    schedules = _open(where)
    kept, last = schedules.get(name), _last(schedules, name)
    if output == "json":
        options.print_json(schedule_document(kept, where.target, last))
        return
    click.echo("\n".join(show_lines(kept, last)))
    if trouble := schedules.at_rest():
        click.echo(trouble, err=True)


@command.command(epilog="Example: bodywork schedule history iris --limit 5")
@name_argument
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="How many to show.")
@options.where
@options.output
def history(name: str, limit: int, where: Where, output: str) -> None:
    """Show what became of each time of schedule NAME, newest first: also of those that did not fire."""
    from bodywork.app.schedules import firing_document
    from bodywork.cli.schedule_view import history_lines

    schedules = _open(where)
    firings = schedules.firings(name, limit)
    if output == "json":
        options.print_json([firing_document(firing) for firing in firings])
        return
    if not firings:
        click.echo(f"no time of schedule {name} has come yet", err=True)
    for line in history_lines(schedules.get(name), firings):
        click.echo(line)


@command.command(epilog="Example: bodywork schedule logs iris --follow")
@name_argument
@click.option("--follow", is_flag=True, help="Go on as more is printed; end with Ctrl-C.")
@options.where
def logs(name: str, follow: bool, where: Where) -> None:
    """Show what the newest run of schedule NAME has printed; of older ones: bodywork logs."""

    def shown(chunk: Chunk) -> None:
        lines = chunk.text.removesuffix("\n").split("\n")
        click.echo("".join(f"{chunk.source} | {line}\n" for line in lines), nl=False)

    firing = _open(where).logs(name, follow=follow, show=shown)
    click.echo(f"{firing.state}  {firing.run}  {firing.reason}".rstrip(), err=True)


@command.command("run-now", epilog="Example: bodywork schedule run-now iris")
@name_argument
@options.where
def run_now(name: str, where: Where) -> None:
    """Fire schedule NAME once, now, besides its times; also when it is paused."""
    firing = _open(where).run_now(name)
    click.echo(f"run {firing.run} of schedule {name} begins; see it: bodywork schedule logs {name} --follow")


@command.command(epilog="Example: bodywork schedule pause iris")
@name_argument
@options.where
def pause(name: str, where: Where) -> None:
    """Let schedule NAME rest; a run in progress goes on."""
    _open(where).pause(name)
    click.echo(f"schedule {name} is paused; go on with: bodywork schedule resume {name}")


@command.command(epilog="Example: bodywork schedule resume iris")
@name_argument
@options.where
def resume(name: str, where: Where) -> None:
    """Let schedule NAME fire again. Times that came while it was paused do not."""
    from bodywork.cli.schedule_view import times_lines

    schedules = _open(where)
    schedules.resume(name)
    click.echo(f"schedule {name} fires again")
    click.echo("\n".join(times_lines(schedules.get(name).definition)))


@command.command(epilog="Example: bodywork schedule delete iris --yes")
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.where
def delete(name: str, yes: bool, where: Where) -> None:
    """Delete schedule NAME and its history. The pipeline stays, with its runs and services."""
    schedules = _open(where)
    pipeline = schedules.get(name).definition.pipeline
    if not yes:
        confirm(
            f"Delete schedule {name} of pipeline {pipeline}, with its history?",
            otherwise="nothing was deleted",
        )
    schedules.delete(name)
    click.echo(f"deleted schedule {name}; pipeline {pipeline} stays, with its runs and services")


def _open(where: Where) -> Schedules:
    from bodywork.app.parts import Parts
    from bodywork.app.schedules import schedules_of

    return schedules_of(Parts(Parts.ours_now()), where)


def _last(schedules: Schedules, name: str) -> Any:
    """Its newest firing that was no mere missed time; None when there is none."""
    found = schedules.firings(name, 1)
    return found[0] if found else None
