"""`bodywork prune`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from bodywork.cli import options
from bodywork.cli.confirm import confirm
from bodywork.cli.words import size

if TYPE_CHECKING:
    from bodywork.app.freed import Freed
    from bodywork.app.where import Where

UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


class Age(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """`30d`, `12h`, `4w`, in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d{1,5})([hdw])", str(value))
        if not found:
            self.fail(f"{value!r} is not an age like 30d, 12h or 4w", param, ctx)
        return int(found[1]) * UNITS[found[2]]


@click.command(
    epilog="Example: bodywork prune iris --older-than 30d --dry-run   bodywork prune --keep 50 --yes"
)
@options.any_pipeline
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the newest N runs of each pipeline (default: 20, or 1 with --older-than).",
)
@click.option("--older-than", type=Age(), metavar="AGE", help="Keep what is younger, as 30d, 12h or 4w.")
@click.option("--cache", is_flag=True, help="Also remove environments that nobody has used for a week.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.where
@options.output
def command(
    pipeline: str | None,
    keep: int | None,
    older_than: float | None,
    cache: bool,
    dry_run: bool,
    yes: bool,
    where: Where,
    output: str,
) -> None:
    """Forget old runs of PIPELINE, or of all, and free what nothing reaches any more.

    What goes: their records, logs and artifacts. What stays: runs in progress, what services
    serve, the newest 10 different releases with all that they read, and the newest of each output.
    """
    from dataclasses import replace

    from bodywork.app.freed import Wish
    from bodywork.app.parts import Parts
    from bodywork.app.prune import prune
    from bodywork.run.retention import Policy

    policy = Policy(keep=keep or (20 if older_than is None else 1), older_than=older_than or 0.0)
    wish = Wish(pipeline=pipeline, policy=policy, cache=cache, dry_run=True)
    parts = Parts(Parts.ours_now())
    freed = prune(parts, where, wish) if dry_run or not yes else None
    if not dry_run:
        if freed is not None:
            click.echo("\n".join(_lines(freed, "would free")), err=True)
            if freed.runs or freed.size:
                confirm("Go on?", otherwise="nothing was removed")
        freed = prune(parts, where, replace(wish, dry_run=False))
    assert freed is not None
    if output == "json":
        options.print_json(freed.document())
        return
    for line in _lines(freed, "would free" if dry_run else "freed"):
        click.echo(line)


def _lines(freed: Freed, verb: str) -> Iterator[str]:
    for sentence in freed.left:
        yield f"note: {sentence}"
    pipelines = {one.pipeline: 0 for one in freed.runs}
    for one in freed.runs:
        pipelines[one.pipeline] += 1
    for name, count in pipelines.items():
        yield f"{name}: {count} run{'s' if count > 1 else ''}"
    for part in freed.parts:
        if part.count:
            yield f"{part.what}: {part.count}, {size(part.size)}"
    yield f"{verb} {size(freed.size)}"
