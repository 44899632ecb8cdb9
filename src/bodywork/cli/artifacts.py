"""`bodywork artifacts`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bodywork.cli import options
from bodywork.cli.words import ago, size

if TYPE_CHECKING:
    from bodywork.app.artifacts import Artifact
    from bodywork.app.where import Where


class ListOrGet(click.Group):
    """`artifacts PIPELINE` lists; a pipeline that is called like a command is listed by `list`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, "list")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["list", *args]  # options may come before the pipeline
        return super().parse_args(ctx, args)


@click.group(
    cls=ListOrGet,
    epilog="Example: bodywork artifacts iris   bodywork artifacts get 20260301-060000-1a2b train.model",
)
def command() -> None:
    """Look at what runs have made: `artifacts PIPELINE` is short for `artifacts list PIPELINE`."""


@command.command("list", epilog="Example: bodywork artifacts iris --limit 5 --output json")
@options.pipeline
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Of how many runs.")
@options.where
@options.output
def list_(pipeline: str, limit: int, where: Where, output: str) -> None:
    """List what the newest runs of PIPELINE have made, and which stages and services read it."""
    from bodywork.app.artifacts import artifacts
    from bodywork.app.parts import Parts

    found = artifacts(Parts(Parts.ours_now()), where, pipeline, limit)
    if output == "json":
        options.print_json([one.document() for one in found])
        return
    if not found:
        click.echo(f"its runs have made no artifacts: no stage of {pipeline} has outputs", err=True)
    for line in _lines(found):
        click.echo(line)


@command.command("get", epilog="Example: bodywork artifacts get 20260301-060000-1a2b train.model --to model")
@click.argument("run")
@click.argument("name", metavar="STAGE.NAME")
@click.option("--to", type=click.Path(path_type=Path), metavar="PATH", help="Where (default: here).")
@click.option("--force", is_flag=True, help="Write over what is there.")
@options.where
def get_(run: str, name: str, to: Path | None, force: bool, where: Where) -> None:
    """Write what output NAME of STAGE was in RUN to a file or folder; its digest is checked."""
    from bodywork.app.artifacts import get
    from bodywork.app.parts import Parts

    click.echo(get(Parts(Parts.ours_now()), where, run, name, to, force=force))


def _lines(found: Sequence[Artifact]) -> Iterator[str]:
    """In columns: run, name, size, age, the beginning of the digest, who reads it."""
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        read = [f"serves {', '.join(one.serves)}"] if one.serves else []
        read += [f"read by {', '.join(one.readers)}"] if one.readers else []
        much = "gone" if one.gone else "" if one.size is None else size(one.size)
        digest = one.digest.partition(":")[2][:12]
        when = ago(max(0.0, time.time() - one.made))
        line = f"{one.run}  {one.name:{width}}  {much:>9}  {when:10}  {digest}  {'; '.join(read)}"
        yield line.rstrip()
