"""Which runs' records a cluster can do without, out of no more of its objects than it takes to know."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from bodywork.run.events import Event, StageEnded
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.retention import Made, Past, Policy, spare
from bodywork.run.states import StageState


async def dispensable(
    records: Sequence[RunRecord],
    releases: Sequence[Release],
    policy: Policy,
    outputs: Callable[[RunRecord], Awaitable[Made]],
    among: Collection[str] | None = None,
) -> list[RunRecord]:
    """The runs that nothing needs. All are newest first.

    With `among`, none but these go. `outputs` tells what a run has made; it is asked only when there is
    anything to decide.
    """
    stay = {one.run for one in records if not one.state.ended or (among is not None and one.run not in among)}
    past = Past(records=records, releases=releases, in_use=stay)
    if not spare(past, policy, math.inf):
        return []
    made = {record.run: await outputs(record) for record in records}
    return spare(replace(past, made=made), policy, math.inf)


def outputs_of(events: Sequence[Event]) -> Made:
    """What a run has made, out of its events."""
    return {
        (event.stage, name): digest
        for event in events
        if isinstance(event, StageEnded) and event.state is StageState.SUCCEEDED
        for name, digest in event.outputs.items()
    }
