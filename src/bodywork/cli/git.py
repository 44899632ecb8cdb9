"""`bodywork git`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bodywork.app.trust import Standing


@click.group(epilog="Example: bodywork git trust git.example:2222")
def command() -> None:
    """Look after what git needs to reach private repositories."""


@command.command(
    epilog="Examples: bodywork git trust git.example   bodywork git trust git.example:2222   "
    "bodywork git trust git.example --fingerprint SHA256:..."
)
@click.argument("host", metavar="HOST[:PORT]")
@click.option(
    "--fingerprint",
    multiple=True,
    metavar="SHA256:...",
    help="Trust the key with this fingerprint, and ask nobody; may be given several times.",
)
@click.option("--replace", is_flag=True, help="The host has a new key: forget the old one.")
def trust(host: str, fingerprint: tuple[str, ...], replace: bool) -> None:
    """Know an ssh host from now on.

    Its keys are fetched and their fingerprints shown, to be compared with those that the host's owner
    publishes. After a yes they are written to ssh's file of known hosts (~/.ssh/known_hosts). A key that
    has changed is shown beside the old one, and written only with --replace.
    """
    from bodywork.app.parts import Parts
    from bodywork.app.trust import trust as know

    confirm = _confirm if sys.stdin.isatty() else None
    standing = know(
        Parts(Parts.ours_now()), host, fingerprints=frozenset(fingerprint), replace=replace, confirm=confirm
    )
    if not standing.wanted:
        click.echo(f"{standing.host.name} is known already: {standing.host.file}")
        return
    keys = ", ".join(f"{key.fingerprint} ({key.short})" for key in standing.wanted)
    click.echo(f"{standing.host.name} is trusted by {keys}; written to {standing.host.file}")


def _confirm(standing: Standing) -> bool:
    """Show what there is to compare, and ask."""
    if standing.old:
        click.echo(f"this machine knows {standing.host.name} by:", err=True)
        for one in standing.old:
            click.echo(f"  {one.key.short:8} {one.key.fingerprint}", err=True)
    click.echo(f"{standing.host.name} now offers:", err=True)
    for key in standing.offered:
        click.echo(f"  {key.short:8} {key.fingerprint}", err=True)
    return click.confirm("Are these the fingerprints that the host's owner publishes?", err=True)
