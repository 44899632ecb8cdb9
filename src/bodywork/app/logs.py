"""What stages have printed, of one run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from bodywork.app.parts import Parts
from bodywork.app.past import records_of
from bodywork.app.site import Chunk
from bodywork.app.sites import open_site
from bodywork.app.where import Where
from bodywork.errors import NotFoundError
from bodywork.run.plan import Plan
from bodywork.spec.model import Stage


def logs(
    parts: Parts,
    where: Where,
    pipeline: str,
    stage: str | None,
    run: str | None,
    *,
    follow: bool,
    show: Callable[[Chunk], None],
) -> None:
    """Show the output of a run's stages (None: all), in the order of the workflow.

    With `follow`, goes on until the run has ended and, when services were asked for, until it is
    interrupted. Raises NotFoundError for a pipeline, run or stage that is not there.
    """

    async def work() -> None:
        async with open_site(parts, where) as site:
            newest = (await records_of(site, pipeline, limit=1))[0]
            record = await site.records.run(run) if run else newest
            plan = await site.records.plan(record.run)
            async with aclosing(site.logs(record, plan, _chosen(plan, stage), follow=follow)) as chunks:
                async for chunk in chunks:
                    show(chunk)

    asyncio.run(work())


def _chosen(plan: Plan, stage: str | None) -> list[Stage]:
    stages = [planned.stage for planned in plan.all_stages]
    if stage is None:
        return stages
    chosen = [candidate for candidate in stages if candidate.name == stage]
    if not chosen:
        raise NotFoundError(
            f"run {plan.run} of {plan.pipeline} has no stage {stage}",
            hint=f"its stages are: {', '.join(s.name for s in stages)}; "
            f"other runs: bodywork runs {plan.pipeline}",
        )
    return chosen
