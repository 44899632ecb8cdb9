"""What a run has printed, to its end: services, which go on after that, are not waited for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from bodywork.app.site import Chunk, Site
from bodywork.run.ledger import RunRecord
from bodywork.spec.model import Kind


async def show_run(site: Site, record: RunRecord, *, follow: bool, show: Callable[[Chunk], None]) -> None:
    """What a run's stages have printed; with `follow`, those of batch stages until it has ended.

    What services have printed by then comes last.
    """
    plan = await site.records.plan(record.run)
    stages = [planned.stage for planned in plan.all_stages]
    batch = [stage for stage in stages if stage.kind is Kind.BATCH]
    services = [stage for stage in stages if stage.kind is Kind.SERVICE]
    for some, on in ((batch, follow), (services, False)):
        async with aclosing(site.logs(record, plan, some, follow=on)) as chunks:
            async for chunk in chunks:
                show(chunk)
