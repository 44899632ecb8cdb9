"""`bodywork render`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.deploy import Request


@click.command(
    epilog="Examples: bodywork render . | kubectl apply -f -   "
    "bodywork render https://host/team/iris --ref v1.2 > iris.yaml"
)
@options.project
def command(request: Request) -> None:
    """Print the Kubernetes objects that deploy the project in REPOSITORY, as YAML; no cluster is asked.

    They hold the commit's files, the locked packages and a Job that carries out the run, in the
    namespace `default` unless another is named. The same commit gives the same objects: applying them
    again changes nothing.
    """
    import yaml

    from bodywork.app.parts import Parts
    from bodywork.app.render import render
    from bodywork.cli.notes import Notes

    notes = Notes()
    objects = render(Parts(Parts.ours_now(), note=notes.note), request, notes)
    click.echo(yaml.safe_dump_all(objects, sort_keys=False, default_flow_style=False), nl=False)
