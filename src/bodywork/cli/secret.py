"""`bodywork secret`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodywork.cli import options
from bodywork.cli.confirm import confirm
from bodywork.cli.words import ago

if TYPE_CHECKING:
    from bodywork.app.keepers import Keeper
    from bodywork.app.where import Where

MOST = 1 << 20
"""Bytes that are read, so that an endless stream ends; values may be shorter only."""

group_option = click.option("--group", metavar="GROUP", help="The `secrets_group` of projects that read it.")


class NoValues(click.Command):
    """A command that shows nothing of arguments which it does not take: one may be a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            raise click.UsageError(
                "a value is never taken from the command line, where others can see it: "
                "it is asked for, or read from stdin",
                ctx,
            )
        return rest


@click.group(epilog="Example: bodywork secret set weather-service API_TOKEN")
def command() -> None:
    """Keep what stages must know and nobody else: passwords, tokens, keys.

    A secret has a name, and keys with a value each. bodywork.yaml says which stage gets which.
    """


@command.command(
    "set",
    cls=NoValues,
    epilog="Example: bodywork secret set weather-service API_TOKEN   "
    "bodywork secret set aws --from-env-file aws.env",
)
@click.argument("name")
@click.argument("key", required=False)
@group_option
@click.option(
    "--from-file", type=click.Path(path_type=Path), metavar="FILE", help="The value is what FILE holds."
)
@click.option(
    "--from-env-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Set all keys that FILE has, in lines like KEY=VALUE.",
)
@options.where
def set_(
    name: str,
    key: str | None,
    group: str | None,
    from_file: Path | None,
    from_env_file: Path | None,
    where: Where,
) -> None:
    """Set KEY of secret NAME. The value is asked for, or read from stdin where nobody can be asked.

    One newline at the end of stdin does not count; a file is taken as it is.
    """
    from bodywork.app.keepers import keeper, set_env_file, set_value
    from bodywork.app.parts import Parts

    kept = keeper(Parts(Parts.ours_now(), note=_note), where)
    if from_env_file is not None:
        if key is not None or from_file is not None:
            raise click.UsageError("--from-env-file brings its own keys: leave out KEY and --from-file")
        done = set_env_file(kept, name, _read(from_env_file), str(from_env_file), group)
    elif key is None:
        raise click.UsageError("name the KEY to set, or bring all of them with --from-env-file FILE")
    else:
        kept.check(name, key, group)  # a wrong name is told before anything is asked
        data = _read(from_file) if from_file is not None else _asked(name, key)
        done = set_value(kept, name, key, data, group)
    for one, before in done.items():
        click.echo(f"{'changed' if before else 'set'} {_told(name, group)}/{one}")
    changed = [one for one, before in done.items() if before]
    users = kept.users(name, changed, group) if changed else []
    for user in users:
        click.echo(f"service {user} has the old value until it starts again", err=True)
    if users:
        click.echo(
            "the next deploy rolls it out; so does: bodywork deploy REPOSITORY --only SERVICE", err=True
        )


@command.command("list", epilog="Example: bodywork secret list --output json")
@options.where
@options.output
def list_(where: Where, output: str) -> None:
    """List secrets with their keys, and when those were changed; never a value."""
    from bodywork.app.keepers import document, keeper
    from bodywork.app.parts import Parts

    kept = keeper(Parts(Parts.ours_now()), where)
    if output == "json":
        options.print_json([document(entry) for entry in kept.entries()])
        return
    lines = _lines(kept)
    if not lines:
        click.echo("there are no secrets yet; set one with: bodywork secret set NAME KEY", err=True)
    for line in lines:
        click.echo(line)


@command.command("delete", epilog="Example: bodywork secret delete weather-service API_TOKEN")
@click.argument("name")
@click.argument("key", required=False)
@group_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.where
def delete(name: str, key: str | None, group: str | None, yes: bool, where: Where) -> None:
    """Delete KEY of secret NAME, or the whole secret. What runs already keeps what it was given."""
    from bodywork.app.keepers import keeper
    from bodywork.app.parts import Parts

    kept = keeper(Parts(Parts.ours_now()), where)
    keys = kept.keys(name, key, group)
    if not yes:
        question = f"Delete {', '.join(keys)} of secret {_told(name, group)}?"
        confirm(question, otherwise="nothing was deleted")
    for one in kept.delete(name, key, group):
        click.echo(f"deleted {_told(name, group)}/{one}")


def _lines(kept: Keeper) -> list[str]:
    """A line for each key, in columns: the namespace if there is one, the secret, the key, its age."""
    rows = [
        ([*([e.namespace] if e.namespace else []), _told(e.name, e.group), key], at)
        for e in kept.entries()
        for key, at in sorted(e.keys.items())
    ]
    widths = [max(map(len, column)) for column in zip(*(words for words, _ in rows), strict=True)]
    return [
        "  ".join(f"{word:{width}}" for word, width in zip(words, widths, strict=True))
        + f"  {ago(max(0.0, time.time() - at))}"
        for words, at in rows
    ]


def _note(sentence: str) -> None:
    click.echo(sentence, err=True)


def _told(name: str, group: str | None) -> str:
    return f"{group}/{name}" if group else name


def _asked(name: str, key: str) -> bytes:
    """The value, typed without being shown, or all of stdin where nobody types."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"Value of {name}/{key} (not shown): ", sys.stderr).encode()
    data = sys.stdin.buffer.read(MOST)
    return data.removesuffix(b"\r\n") if data.endswith(b"\r\n") else data.removesuffix(b"\n")


def _read(file: Path) -> bytes:
    from bodywork.errors import NotFoundError

    try:
        with file.open("rb") as opened:
            return opened.read(MOST)
    except OSError as error:
        raise NotFoundError(f"cannot read {file}: {error.strerror}") from None
