"""docs/reference/command-line.md, from click's commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from bodywork.cli import main
from bodywork.cli.schedule_group import MakingGroup
from pages.markdown import GENERATED, code, table

INTRODUCTION = """
# Command line

Data goes to stdout, everything else to stderr. `--output json` prints one document of a
[documented shape](json.md). An error says what happened and where, and a line that begins with `hint:`
says what to do next.
"""


def page() -> str:
    top = click.Context(main.bodywork, info_name="bodywork")
    commands = [(name, main.bodywork.get_command(top, name)) for name in main.COMMANDS]
    parts = [GENERATED, INTRODUCTION]
    rows = ([f"[`{name}`](#bodywork-{name})", words] for name, words in main.COMMANDS.items())
    parts.append("\n" + table(["command", "what it does"], rows))
    parts.append("\n## Exit codes\n\n" + table(["code", "meaning"], exit_codes()))
    for name, command in commands:
        assert command is not None
        parts.extend(section(command, f"bodywork {name}", "##"))
    return "".join(parts)


def exit_codes() -> list[list[str]]:
    """Out of the docstring of `cli.main`, the only place that gives them out."""
    text = " ".join((main.__doc__ or "").split("\n\n")[1].split())
    return [[code(number), words] for number, words in re.findall(r"(\d+) (.+?)(?=, \d+ |\.$)", text)]


def section(command: click.Command, path: str, level: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"\n{level} {path}\n\n```text\n{usage(command, context)}\n```\n\n{paragraphs(command.help or '')}"
    own = command.making.params if isinstance(command, MakingGroup) else command.params
    options = [one for one in own if isinstance(one, click.Option) and not one.hidden]
    if options:
        yield "\n" + table(["option", "meaning"], (row(option) for option in options))
    if command.epilog:
        yield f"\n{example(command.epilog)}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from section(below, f"{path} {name}", level + "#")


def usage(command: click.Command, context: click.Context) -> str:
    return " ".join([context.info_name or "", *command.collect_usage_pieces(context)])


def paragraphs(text: str) -> str:
    return "".join(" ".join(part.split()) + "\n\n" for part in text.strip().split("\n\n")).removesuffix("\n")


def row(option: click.Option) -> list[str]:
    metavar = "" if option.is_flag else f" {value_of(option)}"
    words = option.help or ""
    if option.show_default:
        words += f" Default: {code(option.default)}."
    if option.envvar:
        words += f" Also from {code(option.envvar)}."
    return [", ".join(code(name + metavar) for name in option.opts), words]


def value_of(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(option.type.choices)
    return option.metavar or (option.type.name.removesuffix(" range").upper())


def example(epilog: str) -> str:
    word, _, commands = epilog.partition(": ")
    return f"{word}: " + ", ".join(code(one) for one in re.split(r"   +(?=bodywork )", commands))
