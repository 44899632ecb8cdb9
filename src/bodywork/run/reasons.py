"""The sentences that say why something ended as it did."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bodywork.run.plan import Plan

CANCELLED = "the run was cancelled"


def batch_timeout(seconds: float) -> str:
    return f"did not end within {duration(seconds)} (batch.timeout); its processes were stopped"


def startup_timeout(seconds: float, obstacle: str, last_lines: Sequence[str]) -> str:
    """`obstacle` is what the target saw that kept the service from being ready, or empty."""
    reason = f"was not ready within {duration(seconds)} (service.startup_timeout)"
    if obstacle:
        reason = f"{reason}: {obstacle}"
    if not last_lines:
        return f"{reason}; it printed nothing"
    return "\n".join([f"{reason}; the last that it printed:", *(f"  {line}" for line in last_lines)])


def run_failed(failures: Sequence[tuple[str, str]]) -> str:
    """`failures` are stages and their reasons, the first failure first."""
    return "; ".join(_failed(stage, reason) for stage, reason in failures)


def _failed(stage: str, reason: str) -> str:
    """One line about a failure: what is quoted below the reason's first line is in the stage's own."""
    line, _, quoted = reason.partition("\n")
    if quoted:
        line = line.rpartition(";")[0] or line.rstrip(":")
    return f"{stage} failed: {line}" if line else f"{stage} failed"


def variables_on_failure(plan: Plan, stage: str, reason: str) -> dict[str, str]:
    """What an `on_failure` stage is told about the first failure of the run.

    `EXCEPTION_MESSAGE` is the name under which projects of 2021-22 look for it.
    """
    failure = {
        "pipeline": plan.pipeline,
        "run": plan.run,
        "commit": plan.source.commit,
        "stage": stage,
        "reason": reason,
    }
    return {
        "BODYWORK_FAILURE": json.dumps(failure),
        "EXCEPTION_MESSAGE": f"stage {stage} failed: {reason}" if reason else f"stage {stage} failed",
    }


def duration(seconds: float) -> str:
    """As bodywork.yaml has it, in the largest unit that needs no fraction: `90s`, `20m`, `2h`."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:g}s"
