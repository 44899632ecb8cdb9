"""The stages of a file put in order, by `workflow:` or by `after:`, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bodywork.spec import workflow
from bodywork.spec.model import Stage
from bodywork.spec.report import Report, did_you_mean, nearest
from bodywork.spec.tree import Path, quote

FEW = 6
"""So many names are listed in a message."""


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """Stages in the order of the workflow, their names step by step, and those in no step."""

    stages: tuple[Stage, ...]
    steps: workflow.Steps
    unused: tuple[str, ...]


def arrange(
    report: Report,
    stages: Mapping[str, Stage],
    *,
    text: str | None,
    waits: Mapping[str, Collection[str]],
    aside: str | None,
    at: Path = ("workflow",),
) -> Ordered:
    """Order `stages` by the workflow `text` or by what each `waits` for; `aside` stays out of it.

    `at` is the path of the workflow in the file.
    """
    if not stages:
        return Ordered(stages=(), steps=(), unused=())
    names = [name for name in stages if name != aside]
    if not names:
        report.error(("stages",), "there is only the stage of `on_failure`: write one to run", key=True)
    meant: frozenset[str] = frozenset()
    if text is not None:
        if any(waits.values()):
            message = "`workflow` and `after` are two ways to say the same: write only one of them"
            report.error(at, message, key=True)
        steps, meant = _steps(report, text, stages, at)
        after = workflow.after(steps)
    elif waits:
        if aside is not None and waits.get(aside):
            report.error(("stages", aside, "after"), "a stage of `on_failure` waits for nothing", key=True)
        after = _after(report, names, waits, stages)
        steps = workflow.levels(after)
    else:
        if len(names) > 1 and not report.broken(at):
            proposal = _proposal(str(at[-1]), names)
            report.error(at, f"missing: say in which order the stages run, like `{proposal}`", key=True)
        steps = tuple((name,) for name in names)
        after = workflow.after(steps)
    return Ordered(
        stages=tuple(dataclasses.replace(stages[name], after=after[name]) for step in steps for name in step),
        steps=steps,
        unused=tuple(name for name in names if name not in after and name not in meant),
    )


def stand_by(report: Report, stages: Mapping[str, Stage], name: str | None, at: Path) -> Stage | None:
    """The stage that runs when a run fails; `at` is where the file names it."""
    if name is None or name in stages:
        return None if name is None else stages[name]
    if stages:
        report.error(at, _unknown(name, stages))
    return None


def _proposal(key: str, names: list[str]) -> str:
    if len(names) > FEW:
        return f"{key}: {names[0]} >> {names[1]} >> ..."
    return f"{key}: {workflow.show(tuple((name,) for name in names))}"


def _unknown(name: str, known: Collection[str]) -> str:
    if ">" in name:
        return f'unknown stage {quote(name)}: write ">>" between steps'
    others = "" if len(known) > FEW else f": the file has {', '.join(map(quote, known))}"
    return f"unknown stage {quote(name)}{did_you_mean(name, known) or others}"


def _steps(
    report: Report, text: str, stages: Collection[str], at: Path
) -> tuple[workflow.Steps, frozenset[str]]:
    """The steps of `text` without what is wrong in them, and the stages that were probably meant there."""
    try:
        parsed = workflow.parse(text)
    except ValueError as error:
        report.error(at, str(error))
        return (), frozenset(stages)
    named = Counter(name for step in parsed for name in step)
    meant: set[str | None] = set()
    for name, times in named.items():
        if name not in stages:
            report.error(at, _unknown(name, stages))
            meant.update(nearest(part.strip(), stages) for part in name.split(">"))
        elif times > 1:
            report.error(at, f"stage {quote(name)} is named twice")
    seen: set[str] = set()
    steps = []
    for step in parsed:
        good = [name for name in dict.fromkeys(step) if name in stages and name not in seen]
        seen.update(good)
        steps.append(tuple(good))
    return tuple(filter(None, steps)), frozenset(filter(None, meant))


def _after(
    report: Report, names: list[str], waits: Mapping[str, Collection[str]], stages: Collection[str]
) -> dict[str, frozenset[str]]:
    """What each stage waits for, without what is wrong there."""
    after = {}
    for name in names:
        good: set[str] = set()
        for position, other in enumerate(waits.get(name, ())):
            path = ("stages", name, "after", position)
            if other not in stages:
                report.error(path, _unknown(other, names))
            elif other not in names:
                report.error(path, f"{quote(other)} runs only when a run fails: nothing can wait for it")
            elif other in good:
                report.error(path, f"stage {quote(other)} is named twice")
            else:
                good.add(other)
        after[name] = frozenset(good)
    return _without_cycles(report, after)


def _without_cycles(report: Report, after: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    while True:
        try:
            workflow.levels(after)
            return after
        except workflow.CycleError as error:
            first = error.cycle[0]
            said = f"waits for itself: {error}" if len(error.cycle) > 2 else "waits for itself"
            report.error(("stages", first, "after"), said)
            after = {**after, **{name: frozenset() for name in error.cycle}}
