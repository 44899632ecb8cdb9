"""A first bodywork.yaml for a folder, with comments, made from what its files look like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import groupby

from bodywork.spec.guess import LONGEST_NAME, TRAIN, Guess, guess, python
from bodywork.spec.names import label
from bodywork.spec.scalar import resolve

SAMPLE = "train.py"

HEAD = """\
# What `bodywork deploy` runs from this project, and in which order.
# `bodywork validate` checks this file, `bodywork plan` shows what a deploy would do,
# `bodywork schema` lists every key.
version: "2"
name: {name}
python: "{python}"
"""

WORKFLOW = """
# From left to right; stages between two >> run at the same time.
workflow: {workflow}
"""

NOTHING_FOUND = """
# No module to run was found in this folder: write {run}, or put the path of yours here.
"""

MODULE = '''\
"""A first stage: fits a line through a few points and prints it.

Replace it by your own. Whatever it prints is shown and kept; it has succeeded when it ends
without an error.
"""

POINTS = [(1.0, 2.1), (2.0, 3.9), (3.0, 6.2), (4.0, 7.8), (5.0, 10.1)]


def fit(points):
    """The slope and the intercept of the line with the least squared error."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return slope, mean_y - slope * mean_x


def main():
    slope, intercept = fit(POINTS)
    print(f"y = {slope:.3f} x + {intercept:.3f}")


if __name__ == "__main__":
    main()
'''


def draft(name: str, files: Mapping[str, str | None], *, version: str = "3.12") -> str:
    """A native bodywork.yaml for a folder called `name` that is valid for its `files`.

    `files` maps paths below the folder to the texts of small sources and requirement files, and
    to None for all others. `version` is the Python to ask for where the files name none. Where
    nothing looks like a stage, the text names the module `train.py` (see `draft_module`).
    """
    found = guess(files)
    text = HEAD.format(
        name=_scalar(label(name, "project")[:LONGEST_NAME].rstrip("-")), python=python(files, version)
    )
    if not found:
        sample = Guess(name="train", run=SAMPLE, rank=TRAIN, port=None, requirements=())
        return text + NOTHING_FOUND.format(run=SAMPLE) + "stages:\n" + _stage(sample)
    if len(found) > 1:
        text += WORKFLOW.format(workflow=_workflow(found))
    return text + "\nstages:\n" + "\n".join(_stage(stage) for stage in found)


def draft_module(path: str) -> str:
    """A small module for `path` that runs as it is, with the standard library only."""
    if not path.endswith(".ipynb"):
        return MODULE
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "first",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
    }
    notebook = {
        "cells": [{**cell, "source": MODULE}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1) + "\n"


def _workflow(found: tuple[Guess, ...]) -> str:
    """Steps by rank; only modules that train are taken to be independent of each other."""
    steps: list[str] = []
    for rank, group in groupby(found, key=lambda stage: stage.rank):
        names = [stage.name for stage in group]
        steps.extend([", ".join(names)] if rank == TRAIN else names)
    return " >> ".join(steps)


def _stage(stage: Guess) -> str:
    lines = [f"  {_scalar(stage.name)}:", f"    run: {_scalar(stage.run)}"]
    lines += _requirements(stage)
    if stage.port is None:
        lines.append("    # batch: {timeout: 1h, retries: 1}")
        lines.append(
            "    # outputs: {model: model.joblib}   # to be written to the path in BODYWORK_OUTPUT_MODEL"
        )
    else:
        if not stage.starts_itself:
            lines.append("    # The module must start its server when it is run.")
        lines.append("    service:")
        lines.append(f"      port: {stage.port}   # the one that the module listens on")
        lines.append("      # replicas: 2")
        lines.append("      # health: /health   # answers below 400 when the module is ready")
    return "\n".join(lines) + "\n"


def _requirements(stage: Guess) -> list[str]:
    if isinstance(stage.requirements, str):
        return [f"    requirements: {_scalar(stage.requirements)}"]
    if not stage.requirements:
        return [
            "    requirements: []   # packages like scikit-learn==1.7.2, or the path of a requirements.txt"
        ]
    return [
        "    requirements:   # by the module's imports; add versions, like numpy==2.1.0",
        *(f"      - {_scalar(package)}" for package in stage.requirements),
    ]


def _scalar(text: str) -> str:
    """`text` as YAML, in quotes only where it needs them."""
    simple = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text) and resolve(text) == text
    return text if simple else json.dumps(text, ensure_ascii=False)
