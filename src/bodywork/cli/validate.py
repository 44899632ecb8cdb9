"""`bodywork validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.git_access import GitAccess


@click.command(epilog="Examples: bodywork validate   bodywork validate https://host/team/iris --ref main")
@click.argument("path", default=".")
@click.option("--ref", help="Check the file as it is at this branch, tag or commit.")
@click.option("--file", "-f", help="Path of bodywork.yaml in the folder or repository.")
@options.git_access
@options.output
def command(path: str, ref: str | None, file: str | None, access: GitAccess, output: str) -> int:
    """Check the bodywork.yaml of PATH: a folder, the file itself or the URL of a Git repository.

    Every error of the file is shown at once. Exits with 2 when there is one.
    """
    from bodywork.app.parts import Parts
    from bodywork.app.validate import validate
    from bodywork.cli.notes import Notes
    from bodywork.errors import Problem, SpecError

    notes = Notes()
    problems: tuple[Problem, ...]
    try:
        parts = Parts(Parts.ours_now(), note=notes.note)
        checked = validate(parts, path, ref=ref, file=file, access=access)
    except SpecError as error:
        if output == "text":
            raise
        problems, good, name = error.problems, False, None
    else:
        problems, good, name = checked.warnings, True, checked.project.name
    if output == "json":
        options.print_json({"valid": good, "pipeline": name, "problems": [_document(p) for p in problems]})
        return 0 if good else 2
    for problem in problems:
        notes.warning(str(problem))
    steps = " >> ".join(", ".join(step) for step in checked.project.steps)
    click.echo(f"{checked.file}: {click.style('good', fg='green')}: pipeline {name} runs {steps}")
    return 0


def _document(problem: object) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(problem)  # type: ignore[call-overload,no-any-return]
