"""`bodywork doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from bodywork.cli import options

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "missing": ("missing", "red")}


@click.command(epilog="Example: bodywork doctor")
@options.output
def command(output: str) -> int:
    """Say what this machine has and lacks for running projects. Exits with 2 when something is missing."""
    from bodywork.app.doctor import examine
    from bodywork.app.parts import Parts

    findings = []
    for finding in examine(Parts(Parts.ours_now())):
        findings.append(finding)
        if output == "text":
            word, colour = MARKS[finding.state]
            click.echo(f"{click.style(f'{word:8}', fg=colour)} {finding.name:9} {finding.found}")
            if finding.advice:
                click.echo(f"{'':18} {finding.advice}")
    if output == "json":
        options.print_json([asdict(finding) for finding in findings])
    return 2 if any(finding.state == "missing" for finding in findings) else 0
