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
    from bodywork.app.start import drafted, write

    what = drafted(folder, name)
    if sys.stdin.isatty() and sys.stdout.isatty() and not yes:
        for path, text in what.files.items():
            click.echo(f"{click.style(str(path), bold=True)}\n{text}")
        click.confirm("Write this?", default=True, abort=True)
    write(what)
    for path in what.files:
        click.echo(f"wrote {path}")
    click.echo(
        f"check it with: bodywork validate {folder}; then run it with: bodywork deploy {folder}", err=True
    )
