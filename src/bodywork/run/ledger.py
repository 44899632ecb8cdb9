"""What is kept of a run as a whole, besides its plan and its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bodywork.run.states import RunState


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run, without its events. Times are seconds since the epoch; `commit` has 40 hex digits.

    `date` is the day (YYYY-MM-DD) that the run is for, `backfill` the range of days (FIRST..LAST) of
    the back-fill that it is part of; None where there is none.
    """

    run: str
    pipeline: str
    target: str
    repository: str
    ref: str
    commit: str
    state: RunState
    started: float
    ended: float | None
    kind: Literal["deploy", "schedule", "rollback"]
    reason: str
    date: str | None = None
    backfill: str | None = None


@dataclass(frozen=True, kw_only=True)
class Release:
    """What services served after a run: by service, the digests of its inputs by input name."""

    pipeline: str
    target: str
    run: str
    commit: str
    at: float
    services: Mapping[str, Mapping[str, str]]
