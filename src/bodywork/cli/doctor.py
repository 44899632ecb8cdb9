"""`bodywork doctor`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bodywork.cli import options

if TYPE_CHECKING:
    from bodywork.app.doctor import Finding
    from bodywork.app.parts import Parts
    from bodywork.app.where import Where

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "missing": ("missing", "red")}


@click.command(epilog="Examples: bodywork doctor   bodywork doctor --target kubernetes --namespace team-a")
@options.where_to_run
@options.output
def command(where: Where, output: str) -> int:
    """Say what this machine, or a cluster, has and lacks for running projects.

    For a cluster: what your account may and may not do there, and what the cluster lacks. Exits
    with 2 when something is missing.
    """
    from bodywork.app.parts import Parts
    from bodywork.app.where import LOCAL

    parts, findings = Parts(Parts.ours_now()), []
    if where.kind == LOCAL:
        from bodywork.app.doctor import examine

        for finding in examine(parts):
            findings.append(_shown(finding, output))
    else:
        findings = asyncio.run(_examined_cluster(parts, where, output))
    if output == "json":
        options.print_json([asdict(finding) for finding in findings])
    return 2 if any(finding.state == "missing" for finding in findings) else 0


async def _examined_cluster(parts: Parts, where: Where, output: str) -> list[Finding]:
    from bodywork.app.sites import wanting_the_extra

    with wanting_the_extra():
        from bodywork.app.cluster.doctor import examine
    return [_shown(finding, output) async for finding in examine(parts, where)]


def _shown(finding: Finding, output: str) -> Finding:
    if output == "text":
        word, colour = MARKS[finding.state]
        click.echo(f"{click.style(f'{word:8}', fg=colour)} {finding.name:10} {finding.found}")
        if finding.advice:
            click.echo(f"{'':19} {finding.advice}")
    return finding
