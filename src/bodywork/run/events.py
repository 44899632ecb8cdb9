"""The events of a run: frozen, in the order in which they happened.

A run *is* the list of its events: replaying them gives its state, which is how `status` and
`resume` work. All are recorded except `StageOutput`, whose text goes to the stage's log file.
`at` is seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bodywork.run.states import RunState, StageState


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened at time `at`."""

    at: float


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """The run begins; also written when it is resumed."""

    run: str
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class StagePreparing(Event):
    """The stage's packages and working copy are being made, maybe long before its turn."""

    stage: str


@dataclass(frozen=True, kw_only=True)
class StagePrepared(Event):
    """The stage can be started."""

    stage: str


@dataclass(frozen=True, kw_only=True)
class StageStarted(Event):
    """The module itself runs. `handle` names the process (or pod) for a later clean-up."""

    stage: str
    attempt: int
    handle: str


@dataclass(frozen=True, kw_only=True)
class StageWaiting(Event):
    """The stage's turn has come, but it does not run (any more): `reason` says why, as a sentence.

    It changes nothing of where the stage stands. Empty: it waits no longer.
    """

    stage: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StageOutput(Event):
    """What a stage printed: whole lines, the last one ended by a newline. Never recorded."""

    stage: str
    text: str


@dataclass(frozen=True, kw_only=True)
class StageRetrying(Event):
    """An attempt failed and the next one starts after `delay` seconds."""

    stage: str
    attempt: int
    delay: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class StageEnded(Event):
    """The stage has ended, for good.

    `outputs` maps the names of its declared outputs to their digests. `peak_memory` is in bytes,
    `cpu_seconds` is user plus system time; None where they are not known.
    """

    stage: str
    state: StageState
    reason: str = ""
    exit_code: int | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    peak_memory: int | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceRemoved(Event):
    """A service that the workflow no longer names is gone."""

    stage: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The run has ended."""

    state: RunState
    reason: str = ""


def made_by(events: Iterable[Event]) -> dict[tuple[str, str], str]:
    """What a run has made, out of its events: digests by stage and output."""
    return {
        (event.stage, name): digest
        for event in events
        if isinstance(event, StageEnded) and event.state is StageState.SUCCEEDED
        for name, digest in event.outputs.items()
    }
