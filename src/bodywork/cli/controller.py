"""`bodywork controller`: what `deploy --detach` runs in the cluster; not for people."""

from __future__ import annotations

import click


@click.command(
    hidden=True,
    epilog="Example: bodywork controller --pipeline iris --run 20260301-060000-1a2b --namespace iris",
)
@click.option("--pipeline", required=True, help="The pipeline, by its name.")
@click.option("--run", required=True, help="The run, whose record is in the cluster.")
@click.option("--namespace", required=True, help="The namespace of its pipeline.")
def command(pipeline: str, run: str, namespace: str) -> int:
    """Carry out a run that is recorded in this cluster, until it has ended, and exit with 0."""
    from bodywork.app.cluster.controller import control
    from bodywork.app.parts import Parts
    from bodywork.app.where import KUBERNETES, Where
    from bodywork.cli.run_view import RunWatcher

    with RunWatcher("text") as watcher:
        parts = Parts(Parts.ours_now(), note=watcher.note)
        outcome = control(parts, Where(target=KUBERNETES, namespace=namespace), run, watcher)
    if outcome is None:
        click.echo(f"run {run} of {pipeline} had ended before")
    else:
        click.echo(f"run {run} of {pipeline} has ended: {outcome.state}  {outcome.reason}".rstrip())
    return 0
