"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import click

from bodywork.errors import UsageError


def confirm(question: str, *, otherwise: str) -> None:
    """Ask; raises UsageError that says `otherwise` for a no, and one that names --yes where nobody is."""
    if not sys.stdin.isatty():
        raise click.UsageError("this cannot be undone: say --yes where nobody can be asked")
    if not click.confirm(question, err=True):
        raise UsageError(otherwise)
