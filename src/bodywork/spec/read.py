"""The public door: bytes of a bodywork.yaml in, a checked project and warnings out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Literal

from bodywork.errors import Problem, SpecError
from bodywork.spec import from_v1, from_v2, text
from bodywork.spec.model import Project
from bodywork.spec.report import Report, nearest
from bodywork.spec.tree import Node, describe, plain

Version = Literal["1.0", "1.1", "2"]
VERSIONS: tuple[Version, ...] = ("1.0", "1.1", "2")
EXPECTED = '"2" (or "1.0", "1.1" for projects of 2021-22)'


def read(data: bytes, *, file: str, files: Collection[str] | None) -> tuple[Project, tuple[Problem, ...]]:
    """The project that `data` describes, and what is odd about it.

    `file` is what problems call the file. `files` are the paths of all files below its folder,
    relative to it; None: whether files exist is not checked. Raises SpecError with every problem
    of the file in its order, warnings among them.
    """
    document = text.parse(data, file=file)
    report = Report(file, document.root)
    version = _version(report, document.root)
    report.add(document.problems)
    for path in document.spoiled:
        report.mark(path)
    old = version != "2"
    report.add(dataclasses.replace(slip, warning=old) for slip in document.slips)
    project = from_v1.read(report, files, version) if version != "2" else from_v2.read(report, files)
    if report.failed:
        raise SpecError(report.problems)
    return project, report.problems


def _version(report: Report, root: Node) -> Version:
    """The form to read the file as; a wrong `version` is reported and the form guessed."""
    node = root.below("version")
    said = plain(node) if node else None
    for version in VERSIONS:
        if said == version and isinstance(said, str):
            return version
    path = ("version",)
    if isinstance(said, float) and said in (1.0, 1.1):
        version = "1.0" if said == 1.0 else "1.1"
        report.warn(path, f'write "{version}" in quotes')
        return version
    if node is None:
        report.error(path, f"required key is missing: write version: {EXPECTED}", key=True)
    elif isinstance(said, int | float) and not isinstance(said, bool) and said in (1, 2):
        meant = "2" if said == 2 else "1.0"
        report.error(path, f'YAML reads {node.text} as a number: write "{meant}" in quotes')
    else:
        report.error(path, f"must be {EXPECTED}, not {describe(said)}")
    report.mark(path)
    keys = list(root.value)
    old = nearest("project", keys) or nearest("pipeline", keys)
    return "1.1" if old and root.below("name") is None else "2"
