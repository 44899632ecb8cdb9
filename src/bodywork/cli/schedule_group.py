"""A group of commands that is a command as well: `bodywork schedule REPOSITORY` makes a schedule."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import click

MAKE = "make"
"""Its hidden name."""


class _SameWords(click.Context):
    """Usage and hints show what was typed: the group's name alone."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent else ""


class Making(click.Command):
    """The command that is meant when the first word names none."""

    context_class = _SameWords


class MakingGroup(click.Group):
    """A group whose words go to its command `make` unless the first one names another."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first in ctx.help_option_names or (first in self.commands and first != MAKE):
            return super().parse_args(ctx, args)
        if re.fullmatch(r"[a-z][a-z-]*", first) and not Path(first).exists():
            near = difflib.get_close_matches(first, self.list_commands(ctx), n=1)
            if near:
                raise click.UsageError(
                    f"there is no command {first!r} and no folder of that name (did you mean {near[0]!r}?)",
                    ctx,
                )
        return super().parse_args(ctx, [MAKE, *args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in self.commands if name != MAKE]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "[REPOSITORY]"]

    @property
    def making(self) -> click.Command:
        """The command whose options are the group's own, for help and reference."""
        return self.commands[MAKE]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """First what makes one, then the commands."""
        self.making.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
