"""A plan as people and programs read it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import click

from bodywork.run.plan import Action, Plan

SIGNS = {
    Action.RUN: ("run", "cyan"),
    Action.ADD: ("add", "green"),
    Action.REPLACE: ("replace", "yellow"),
    Action.DECIDE: ("decide", "yellow"),
    Action.KEEP: ("keep", None),
}


def plan_lines(plan: Plan, unbuilt: Collection[str]) -> Iterator[str]:
    """A line for each stage, step by step, with what will be done to it and why."""
    source = plan.source
    yield f"{plan.pipeline} on {plan.target}, commit {source.commit[:12]} of {source.repository}"
    planned = {stage.stage.name: stage for stage in plan.stages}
    width = max((len(name) for name in planned), default=0)
    for number, step in enumerate(plan.project.steps, 1):
        chosen = [planned[name] for name in step if name in planned]
        if chosen:
            yield f"step {number}"
        for stage in chosen:
            word, colour = SIGNS[stage.action]
            todo = " [its environment will be built]" if stage.environment in unbuilt else ""
            yield f"  {click.style(f'{word:8}', fg=colour)} {stage.stage.name:{width}}  {stage.reason}{todo}"
    if plan.on_failure:
        yield f"if the run fails\n  run      {plan.on_failure.stage.name}"
    for removal in plan.removals:
        yield f"at the end\n  {click.style('remove  ', fg='red')} {removal.service:{width}}  {removal.reason}"


def plan_document(plan: Plan, unbuilt: Collection[str]) -> dict[str, Any]:
    """The JSON object of `plan --output json`."""
    return {
        "pipeline": plan.pipeline,
        "target": plan.target,
        "commit": plan.source.commit,
        "stages": [
            {
                "name": stage.stage.name,
                "kind": str(stage.stage.kind),
                "action": str(stage.action),
                "reason": stage.reason,
                "after": sorted(stage.stage.after),
                "environment": stage.environment,
                "environment_built": stage.environment not in unbuilt,
            }
            for stage in plan.stages
        ],
        "on_failure": plan.on_failure.stage.name if plan.on_failure else None,
        "removals": [{"name": r.service, "reason": r.reason} for r in plan.removals],
    }
