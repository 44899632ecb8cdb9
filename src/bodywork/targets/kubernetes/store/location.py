"""Where in the store a digest lies: found from what runs recorded, since keys are named by who made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bodywork.run.events import Event, StageEnded, StageStarted
from bodywork.run.states import StageState


@dataclass(frozen=True, kw_only=True)
class Location:
    """Output `output` of attempt `attempt` of stage `stage` (its name) in run `run`."""

    run: str
    stage: str
    attempt: int
    output: str

    def key(self, pipeline: str) -> str:
        """In the store; `pipeline` is the object name."""
        return "/".join((pipeline, self.run, self.stage, str(self.attempt), self.output))


def find(digest: str, events_by_run: Mapping[str, Iterable[Event]]) -> Location | None:
    """Where `digest` was made, by the first of the runs that made it: give the newest first."""
    for run, events in events_by_run.items():
        if found := made_in(run, events).get(digest):
            return found
    return None


def made_in(run: str, events: Iterable[Event]) -> dict[str, Location]:
    """All that a run has made, by digest."""
    attempts: dict[str, int] = {}
    made: dict[str, Location] = {}
    for event in events:
        if isinstance(event, StageStarted):
            attempts[event.stage] = event.attempt
        elif (
            isinstance(event, StageEnded) and event.state is StageState.SUCCEEDED and event.stage in attempts
        ):
            for output, digest in event.outputs.items():
                attempt = attempts[event.stage]
                made[digest] = Location(run=run, stage=event.stage, attempt=attempt, output=output)
    return made
