"""Which runs' records a cluster can do without, out of no more of its objects than it takes to know."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace

from bodywork.run.ledger import Release, RunRecord
from bodywork.run.retention import Made, Past, Policy, spare


async def dispensable(
    records: Sequence[RunRecord],
    releases: Sequence[Release],
    policy: Policy,
    outputs: Callable[[RunRecord], Awaitable[Made]],
    among: Set[str],
) -> list[RunRecord]:
    """Those of the runs `among` that nothing needs. Records and releases are newest first.

    `outputs` tells what a run has made; it is asked only when there is anything to decide.
    """
    past = Past(records=records, releases=releases).only(among)
    if not spare(past, policy, math.inf):
        return []
    made = {record.run: await outputs(record) for record in records}
    return spare(replace(past, made=made), policy, math.inf)
