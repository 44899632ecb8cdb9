"""`bodywork init`."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(epilog="Example: bodywork init . --name iris")
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.option("--name", help="The pipeline's name (default: the folder's).")
@click.option("--yes", "-y", is_flag=True, help="Write without showing the file and asking.")
def command(folder: Path, name: str | None, yes: bool) -> None:
    """Write a first bodywork.yaml for FOLDER, made from what is in it.

    On a terminal the file is shown before it is written. A file that is there is never changed.
    """
    from bodywork.app.start import drafted, in_repository, write
    from bodywork.errors import UsageError

    what = drafted(folder, name)
    if sys.stdin.isatty() and sys.stdout.isatty() and not yes:
        for path, text in what.files.items():
            click.echo(f"{click.style(str(path), bold=True)}\n{text}")
        if not click.confirm("Write this?", default=True):
            raise UsageError("nothing was written", hint="a name of your own: bodywork init --name NAME")
    write(what)
    for path in what.files:
        click.echo(f"wrote {path}")
    first = "" if in_repository(folder) else f"make the folder a Git repository with: git init {folder}; "
    click.echo(
        f"{first}check it with: bodywork validate {folder}; then run it with: bodywork deploy {folder}",
        err=True,
    )
