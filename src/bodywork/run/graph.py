"""Questions about the order of stages.

A step of 1,000 stages after a step of 1,000 has a million edges but only one set of predecessors,
shared by all stages of the step. So everything here works per distinct set and never per edge.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bodywork.spec.model import Stage


@dataclass
class _Group:
    """Stages that wait for the same predecessors, and how many of those are still missing."""

    missing: int
    stages: list[str] = field(default_factory=list)


class Waiting:
    """Tells which stages are due, as one stage after the other ends well.

    A predecessor that is not among `stages` is not waited for.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        names = {stage.name for stage in stages}
        groups: dict[frozenset[str], _Group] = {}
        self._groups_of: dict[str, list[_Group]] = {}
        self._first: list[str] = []
        for stage in stages:
            group = groups.get(stage.after)
            if group is None:
                group = groups[stage.after] = self._group(stage.after & names)
            (group.stages if group.missing else self._first).append(stage.name)

    def _group(self, after: frozenset[str]) -> _Group:
        group = _Group(missing=len(after))
        for name in after:
            self._groups_of.setdefault(name, []).append(group)
        return group

    def first(self) -> list[str]:
        """The stages that wait for nothing."""
        return list(self._first)

    def good(self, name: str) -> list[str]:
        """The stages that are due because `name` has ended well. Call once for each stage."""
        due = []
        for group in self._groups_of.pop(name, ()):
            group.missing -= 1
            if group.missing == 0:
                due += group.stages
        return due


def in_order(stages: Sequence[Stage]) -> list[Stage]:
    """The stages, each after those that it waits for. What is part of a cycle is left out."""
    by_name = {stage.name: stage for stage in stages}
    waiting = Waiting(stages)
    names = waiting.first()
    for name in names:
        names += waiting.good(name)
    return [by_name[name] for name in names]


def narrowed(stages: Sequence[Stage], names: Collection[str]) -> list[Stage]:
    """Only the stages called so; where one between two of them is dropped, their order stays."""
    nearest: dict[frozenset[str], frozenset[str]] = {}
    kept_after: dict[str, frozenset[str]] = {}
    for stage in in_order(stages):
        if stage.after not in nearest:
            nearest[stage.after] = _kept(stage.after, names, kept_after)
        kept_after[stage.name] = nearest[stage.after]
    return [replace(stage, after=kept_after[stage.name]) for stage in stages if stage.name in names]


def _kept(
    after: frozenset[str], names: Collection[str], kept_after: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    kept: set[str] = set()
    for name in after:
        kept.update((name,) if name in names else kept_after.get(name, ()))
    return frozenset(kept)


def nearest_upstream(stages: Sequence[Stage], wanted: Collection[str]) -> dict[str, str]:
    """For each stage, by name, the nearest of the `wanted` ones that it comes after, if there is one.

    Of several that are equally near, the last one in the order of the workflow.
    """
    place = {stage.name: number for number, stage in enumerate(stages)}
    found: dict[str, str] = {}
    of_set: dict[frozenset[str], str | None] = {}
    for stage in in_order(stages):
        if stage.after not in of_set:
            direct = [name for name in stage.after if name in wanted]
            beyond = direct or [found[name] for name in stage.after if name in found]
            of_set[stage.after] = max(beyond, key=lambda name: place[name], default=None)
        if (nearest := of_set[stage.after]) is not None:
            found[stage.name] = nearest
    return found
