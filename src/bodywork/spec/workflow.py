"""The order of stages: `a >> b, c >> d` as text, or `after` lists as a graph, both as steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Steps = tuple[tuple[str, ...], ...]
"""Names of stages, step by step; the stages of one step run at the same time."""


class CycleError(ValueError):
    """Stages that wait for each other. `cycle` begins and ends with the same name."""

    def __init__(self, cycle: Sequence[str]) -> None:
        super().__init__(" -> ".join(cycle))
        self.cycle = tuple(cycle)


def parse(text: str) -> Steps:
    """Steps of `a >> b, c >> d`, with blanks and line ends anywhere between names.

    Raises ValueError with a sentence when a name is missing somewhere.
    """
    if not text.strip():
        raise ValueError("names no stage: write stages in their order, like prepare >> train >> serve")
    steps = tuple(tuple(name.strip() for name in step.split(",")) for step in text.split(">>"))
    for number, step in enumerate(steps):
        if "" in step:
            raise ValueError(f"a stage's name is missing {_beside(steps, number)}")
    return steps


def _beside(steps: Steps, number: int) -> str:
    """Where step `number` lacks a name, in words."""
    step = steps[number]
    if len(step) > 1:
        return 'beside the "," of ' + f'"{", ".join(step).strip()}"'
    if number + 1 < len(steps):
        return 'before the first ">>"' if number == 0 else 'between two ">>"'
    return 'after the last ">>"'


def show(steps: Steps) -> str:
    """The text that `parse` reads as `steps`."""
    return " >> ".join(", ".join(step) for step in steps)


def after(steps: Steps) -> dict[str, frozenset[str]]:
    """For each stage the stages of the step before; one set is shared by all stages of a step."""
    before: frozenset[str] = frozenset()
    waits: dict[str, frozenset[str]] = {}
    for step in steps:
        waits.update(dict.fromkeys(step, before))
        before = frozenset(step)
    return waits


def levels(waits: Mapping[str, frozenset[str]]) -> Steps:
    """Each stage as early as the stages it waits for allow; within a level in the mapping's order.

    Names that are no keys are passed over. Raises CycleError.
    """
    level: dict[str, int] = {}
    for name in waits:
        for ready in _settled(name, waits, level):
            level[ready] = 1 + max((level[other] for other in waits[ready] if other in waits), default=-1)
    steps: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in waits:
        steps[level[name]].append(name)
    return tuple(tuple(step) for step in steps)


def _settled(first: str, waits: Mapping[str, frozenset[str]], done: Mapping[str, int]) -> Iterator[str]:
    """`first` and all it waits for that is not done, each after what it waits for.

    The caller adds every name to `done` before it asks for the next. Depth first without
    recursion, since a chain may have thousands of stages.
    """
    if first in done:
        return
    path = {first: iter(sorted(waits[first]))}
    while path:
        name, following = next(reversed(path.items()))
        for other in following:
            if other in path:
                names = list(path)
                raise CycleError([*names[names.index(other) :], other])
            if other in waits and other not in done:
                path[other] = iter(sorted(waits[other]))
                break
        else:
            del path[name]
            yield name


def upstream(name: str, waits: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """All stages that must have succeeded before `name` starts."""
    found: set[str] = set()
    seen: set[int] = set()
    rest = [waits.get(name, frozenset())]
    while rest:
        direct = rest.pop()
        # The stages of a step share one set: looking at it once keeps wide workflows fast.
        if id(direct) in seen:
            continue
        seen.add(id(direct))
        for other in direct - found:
            found.add(other)
            rest.append(waits.get(other, frozenset()))
    return frozenset(found)
