"""What the docs mention is there: files that they link to, commands and options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bodywork.cli.main import bodywork
from bodywork.run.states import STAGE_MOVES
from bodywork.spec.read import read
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.manifests.controller import RULES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")])

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"(?:^|[\s(])(bodywork(?:[ \t]+[^\s|;&<>()#,]+)*)", re.MULTILINE)
NO_COMMANDS = {"python", "yaml", "text", "json", "mermaid", "ini", "toml"}


@pytest.fixture(params=PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}: no such heading"


def test_commands_and_options_exist(page: Path) -> None:
    for words in commands(page.read_text()):
        check(words, page)


def test_examples_of_project_files_are_valid(page: Path) -> None:
    for info, body in FENCE.findall(page.read_text()):
        if info.split()[:1] == ["yaml"] and body.startswith("version:"):
            read(body.encode(), file=page.name, files=None)


def anchors(page: Path) -> set[str]:
    """The link targets of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    kept = ("".join(c for c in heading.lower() if c.isalnum() or c in " -_") for heading in headings)
    return {text.replace(" ", "-") for text in kept}


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command line of bodywork that a page mentions."""
    pieces = [body for info, body in FENCE.findall(text) if info not in NO_COMMANDS and "title=" not in info]
    pieces = [line for body in pieces for line in command_lines(body)]
    for piece in [*pieces, *INLINE.findall(FENCE.sub("", text))]:
        for found in COMMAND.findall(piece):
            yield words_of(found)


def command_lines(body: str) -> list[str]:
    """Of a session only what is typed, of anything else all of it; without comments."""
    lines = body.replace("\\\n", " ").splitlines()
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line.partition(" #")[0] for line in typed or lines]


def words_of(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that goes on in another piece
        return command.split()


def check(words: list[str], page: Path) -> None:
    command: click.Command = bodywork
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if not re.fullmatch(r"[a-z-]+", rest[0]):
            return  # prose: `bodywork.yaml`, `bodywork COMMAND`
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"{page.name}: there is no command {' '.join(words)}"
        command, rest = found, rest[1:]
    known = {name for option in command.get_params(click.Context(command)) for name in option.opts}
    for word in rest:
        name = word.partition("=")[0]
        if name.startswith("-") and len(name) > 1:
            assert name in known, f"{page.name}: {' '.join(words)}: there is no option {name}"


def test_each_move_of_a_stage_is_explained() -> None:
    text = (ROOT / "docs" / "explanation" / "states.md").read_text()
    stages = text.partition("## Stages")[2].partition("## Runs")[0]
    explained = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \| .+ \|$", stages, re.MULTILINE))
    moves = {(str(before), str(after)) for before, allowed in STAGE_MOVES.items() for after in allowed}
    assert explained == moves


def test_the_architecture_names_files_that_exist() -> None:
    """A path that is not whole is one in the folder that was named last."""
    package = ROOT / "src" / "bodywork"
    folders = [package, *(path for path in package.rglob("*") if path.is_dir())]
    text = FENCE.sub("", (ROOT / "docs" / "explanation" / "architecture.md").read_text())
    for name in re.findall(r"`([a-z_/0-9]+\.py)`", text):
        assert any((folder / name).exists() for folder in folders), f"there is no {name}"


def test_the_rights_that_a_cluster_must_give_are_those_that_the_code_asks_for() -> None:
    text = (ROOT / "docs" / "explanation" / "kubernetes.md").read_text()
    table = text.partition("## Rights")[2].partition("## Security")[0]
    told = re.findall(r"^\| `([^`]+)` \| (.+) \|$", table, re.MULTILINE)
    asked = [
        (f"{kind.plural}{below and f'/{below}'}{kind.group and f'.{kind.group}'}", ", ".join(verbs))
        for kind, below, verbs in RULES
    ]
    assert told == asked


def test_each_label_of_the_cluster_is_explained() -> None:
    text = (ROOT / "docs" / "explanation" / "kubernetes.md").read_text()
    names = {value for name, value in vars(labels).items() if name.isupper() and "/" in str(value)}
    for label in names - {labels.PREFIX}:
        assert f"`{label}`" in text, f"docs/explanation/kubernetes.md does not tell what {label} is"
