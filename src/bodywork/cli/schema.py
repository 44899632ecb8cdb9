"""`bodywork schema`."""

from __future__ import annotations

import click

from bodywork.cli import options


@click.command(epilog="Example: bodywork schema > bodywork.schema.json")
def command() -> None:
    """Print the JSON Schema of bodywork.yaml (version "2"), for editors."""
    from bodywork.spec.schema import json_schema

    options.print_json(json_schema())
