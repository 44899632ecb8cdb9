"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import click

from bodywork.errors import UsageError


def confirm(question: str, *, otherwise: str) -> None:
    """Ask; raises UsageError that says `otherwise` for a no, and one that names --yes where nobody is."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"{otherwise}: that cannot be undone, and there is nobody to ask",
            hint="say --yes to do it unasked",
        )
    if not click.confirm(question, err=True):
        raise UsageError(otherwise)
