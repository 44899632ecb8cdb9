"""Which runs of a pipeline are still needed, so that the record of the others can go.

A release is gone back to with the models that it had, and those may have been made by an earlier
run than its own (`deploy --only`). What a later `--only` may read, the newest of each output, is
kept as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from bodywork.run.events import Event, StageEnded
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.states import StageState

RELEASES = 10
"""Releases, counted from the newest, that can be gone back to."""

Outputs = Mapping[tuple[str, str], str]
"""Digests by stage and output."""


async def dispensable(
    records: Sequence[RunRecord],
    releases: Sequence[Release],
    keep: int,
    outputs: Callable[[RunRecord], Awaitable[Outputs]],
) -> list[RunRecord]:
    """The runs beyond the newest `keep` that nothing needs. All are newest first.

    `outputs` tells what a run has made; it is asked only when there is anything to decide.
    """
    lasting = {release.run for release in releases[:RELEASES]}
    spare = [record for record in records[keep:] if record.state.ended and record.run not in lasting]
    if not spare:
        return []
    wanted = {
        digest
        for one in releases[:RELEASES]
        for inputs in one.services.values()
        for digest in inputs.values()
    }
    going, newest = [], set[tuple[str, str]]()
    for record in records:
        made = await outputs(record)
        if record in spare and made.keys() <= newest and wanted.isdisjoint(made.values()):
            going.append(record)
        else:
            newest |= made.keys()
            wanted -= set(made.values())
    return going


def outputs_of(events: Sequence[Event]) -> Outputs:
    """What a run has made, out of its events."""
    return {
        (event.stage, name): digest
        for event in events
        if isinstance(event, StageEnded) and event.state is StageState.SUCCEEDED
        for name, digest in event.outputs.items()
    }
