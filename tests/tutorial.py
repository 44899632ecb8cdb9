"""Reads a tutorial: its files, its commands and the output that it promises for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = "@@@ end of a command @@@"
CHANGING = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN"),
    (r"\b[0-9a-f]{40}\b|\b[0-9a-f]{12}\b", "COMMIT"),
    (r"\b127\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r'python: "3\.\d+"', "python: VERSION"),
    (r", \d+ MiB of memory", ""),
    (r" \[its environment will be built\]", ""),
    (r"(?m)^(building \d+ environments?|resolving packages).*$", ""),
    (r"\b(\d+ h )?(\d+ min )?\d+(\.\d+)? (s|min)\b", "TIME"),
    (r"\bprocess \d+", "process N"),
    (r"files-[0-9a-f]{8}-\d", "files"),
    (r"\breplica \d", "replica N"),
    (r"[ \t]+", " "),
)
"""What is another at each run, or on each machine: patterns, and what stands for them."""


@dataclass(frozen=True)
class File:
    """Something that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """Something that the reader types, and what it prints; a line `...` stands for any number of lines."""

    line: str
    output: str


Step = File | Command


def steps(text: str) -> Iterator[Step]:
    """The files and commands of a tutorial, in order."""
    for block in BLOCK.finditer(text):
        info, body = block["info"], block["body"]
        if found := re.search(r"title=(\S+)", info):
            yield File(found[1], body)
        elif info == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                line, _, output = part.partition("\n")
                yield Command(line, output)


def script(wanted: list[Step]) -> str:
    """A shell script that does all steps, and prints MARK after each command."""
    lines = []
    for step in wanted:
        if isinstance(step, File):
            lines.append(f"cat > {step.name} <<'END OF FILE'\n{step.text}END OF FILE")
        else:
            lines.append(f'{step.line}\nended=$?; echo "{MARK}"; (exit $ended)')
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """The output without what changes from run to run, blank lines, and lines that came before.

    Replicas say the same things, and how many have said them before one failed is not certain.
    """
    for pattern, stand_in in CHANGING:
        text = re.sub(pattern, stand_in, text)
    return "\n".join(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def agrees(promised: str, printed: str) -> bool:
    """Whether `printed` is what was promised; both are `plain`."""
    pattern = re.escape(promised).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, printed, re.DOTALL) is not None
