"""Reads a tutorial and follows it: its files, its commands and the output that it promises for each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tool import Tool

BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = "@@@ end of a command @@@"
HOME = "/home/you"
"""The reader's home folder on the pages."""

WHO = {f"GIT_{role}_{what}": "reader" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
CHANGING = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN"),
    (r"\b[0-9a-f]{40}\b|\b[0-9a-f]{12}\b", "COMMIT"),
    (r"\b127\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r'python: "3\.\d+"', "python: VERSION"),
    (r", \d+ MiB of memory", ""),
    (r" \[its environment will be built\]", ""),
    (r"(?m)^(building \d+ environments?|resolving packages|waiting for the store).*$", ""),
    (r"(?m)^ *\* \w+ waits: .*$", ""),
    (r"\b(\d+ h )?(\d+ min )?\d+(\.\d+)? (s|min)\b", "TIME"),
    (r"\b[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d (GMT|BST)", "WHEN"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC", "WHEN"),
    (r"\b20\d\d-\d\d-\d\d\b", "DATE"),
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


def follow(tool: Tool, wanted: list[Step], *, timeout: float = 600) -> list[str]:
    """Do it all in one shell; what each command has printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash"],
        input=script(wanted),
        env=tool.env | WHO | {"PATH": path},
        cwd=tool.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    told = done.stdout.replace(str(tool.home / "state"), f"{HOME}/.local/share/bodywork")
    return told.replace(str(tool.home), HOME).split(f"{MARK}\n")[:-1]


def check(tool: Tool, wanted: list[Step], *, timeout: float = 600) -> None:
    """Follow it, and see that each command prints what the page says."""
    printed = follow(tool, wanted, timeout=timeout)
    commands = [step for step in wanted if isinstance(step, Command)]
    assert len(printed) == len(commands)
    for command, output in zip(commands, printed, strict=True):
        assert agrees(plain(command.output), plain(output)), (
            f"$ {command.line}\n{output}\nthe page says:\n{command.output}"
        )


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
