"""`bodywork firing`: what the agent runs at a time of a schedule; not for people."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(hidden=True, epilog="Example: bodywork firing 12")
@click.argument("number", type=int, required=False)
@click.option("--job", help="In a cluster: the Job of the firing.")
@click.option("--namespace", help="In a cluster: the namespace of the pipeline.")
def command(number: int | None, job: str | None, namespace: str | None) -> int:
    """Carry out firing NUMBER of this machine's schedules, unless another process does.

    In a pod of a CronJob, the firing is known by its Job.
    """
    if job is not None and namespace is not None:
        return _in_cluster(job, namespace)
    if number is None:
        raise click.UsageError("say which: NUMBER, or --job and --namespace")
    return _here(number)


def _in_cluster(job: str, namespace: str) -> int:
    """0 for any end, so that the Job is not started anew."""
    from bodywork.app.cluster.firing import fire_in_cluster
    from bodywork.app.cluster.order import order_of
    from bodywork.app.parts import Parts
    from bodywork.cli.run_view import RunWatcher
    from bodywork.targets.kubernetes.manifests.cron_job import GIT

    ours = Parts.ours_now()
    with RunWatcher("text") as watcher:
        state = fire_in_cluster(ours, order_of(ours, job, namespace), watcher, Path(GIT))
    said = "nothing is to be run now" if state is None else f"its firing has ended: {state}"
    click.echo(f"{job}: {said}")
    return 0


def _here(number: int) -> int:
    from bodywork.app.here.firing import fire
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
