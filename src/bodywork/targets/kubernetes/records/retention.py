"""Which runs of a pipeline are still needed, so that the record of the others can go.

A release is gone back to with the models that it had, and those may have been made by an earlier
run than its own (`deploy --only`). What a later `--only` may read, the newest of each output, is
kept as well. So are the days of the newest back-fill: they tell which of them need not be run again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from bodywork.run.events import Event, StageEnded
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.states import RunState, StageState

RELEASES = 10
"""Releases, counted from the newest, that can be gone back to."""

Outputs = Mapping[tuple[str, str], str]
"""Digests by stage and output."""


async def dispensable(
    records: Sequence[RunRecord],
    releases: Sequence[Release],
    keep: int,
    outputs: Callable[[RunRecord], Awaitable[Outputs]],
    among: Collection[str] | None = None,
) -> list[RunRecord]:
    """The runs beyond the newest `keep` that nothing needs. All are newest first.

    With `among`, none but these go. `outputs` tells what a run has made; it is asked only when there is
    anything to decide.
    """
    lasting = {release.run for release in releases[:RELEASES]} | _of_newest_backfill(records)
    spare = [
        record
        for record in records[keep:]
        if record.state.ended and record.run not in lasting and (among is None or record.run in among)
    ]
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
        unread = record.backfill is not None or made.keys() <= newest
        if record in spare and unread and wanted.isdisjoint(made.values()):
            going.append(record)
            continue
        if record.backfill is None:  # what was made for another day is never the newest
            newest |= made.keys()
        wanted -= set(made.values())
    return going


def _of_newest_backfill(records: Sequence[RunRecord]) -> set[str]:
    """Good runs of the range of days that was run last."""
    last = next((record.backfill for record in records if record.backfill), None)
    return {
        record.run
        for record in records
        if last is not None and record.backfill == last and record.state is RunState.SUCCEEDED
    }


def outputs_of(events: Sequence[Event]) -> Outputs:
    """What a run has made, out of its events."""
    return {
        (event.stage, name): digest
        for event in events
        if isinstance(event, StageEnded) and event.state is StageState.SUCCEEDED
        for name, digest in event.outputs.items()
    }
