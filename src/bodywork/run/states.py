"""The states of runs and stages, and the moves between them. Imports nothing of bodywork.

A stage:

    pending <─> preparing ──> running ──> succeeded
       │            │          │  ▲  └──> failed
       │            └──> failed│  └────── (retry)
       ├──> unchanged          └────────> cancelled
       ├──> succeeded  (replayed from an earlier attempt of the run)
       └──> skipped

Preparing starts with the run, long before most stages' turn: a stage that is prepared is pending
again, and one that is still being prepared may be skipped.

A run is `running` until it is `succeeded`, `failed` or `cancelled`; one whose command has died is
`interrupted`, and `resume` makes it `running` again.
"""

from __future__ import annotations

from enum import StrEnum


class StageState(StrEnum):
    """Where a stage of a run stands."""

    PENDING = "pending"
    PREPARING = "preparing"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UNCHANGED = "unchanged"

    @property
    def ended(self) -> bool:
        return self not in (StageState.PENDING, StageState.PREPARING, StageState.RUNNING)

    @property
    def good(self) -> bool:
        """Whether the stages after this one may start."""
        return self in (StageState.SUCCEEDED, StageState.UNCHANGED)


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


STAGE_MOVES: dict[StageState, frozenset[StageState]] = {
    StageState.PENDING: frozenset(
        {
            StageState.PREPARING,
            StageState.RUNNING,
            StageState.SUCCEEDED,
            StageState.UNCHANGED,
            StageState.SKIPPED,
            StageState.CANCELLED,
            StageState.FAILED,
        }
    ),
    StageState.PREPARING: frozenset(
        {
            StageState.PENDING,
            StageState.RUNNING,
            StageState.FAILED,
            StageState.CANCELLED,
            StageState.SKIPPED,
            StageState.UNCHANGED,
        }
    ),
    StageState.RUNNING: frozenset(
        {StageState.RUNNING, StageState.SUCCEEDED, StageState.FAILED, StageState.CANCELLED}
    ),
    StageState.SUCCEEDED: frozenset(),
    StageState.FAILED: frozenset(),
    StageState.CANCELLED: frozenset(),
    StageState.SKIPPED: frozenset(),
    StageState.UNCHANGED: frozenset(),
}
