"""What is known on this machine of a pipeline's past, to decide which of its runs may be forgotten."""

from __future__ import annotations

from bodywork.app.here.site import NAME, LocalSite
from bodywork.app.parts import Parts
from bodywork.run.ledger import RunRecord
from bodywork.run.retention import Past


async def past_of(parts: Parts, site: LocalSite, pipeline: str) -> Past:
    observed = (await (await site.target(pipeline)).observe(pipeline)).values()
    return Past(
        records=await _records(site, pipeline),
        releases=await site.records.releases(pipeline),
        made=parts.holdings.made(pipeline),
        read=parts.holdings.read(),
        in_use={service.release for service in observed},
        serving={digest for service in observed for digest in service.inputs.values()},
    )


async def has_gone_on(site: LocalSite, pipeline: str, past: Past) -> bool:
    """Whether anything has run since: services change with runs alone."""
    before = (list(past.records), list(past.releases))
    return before != (await _records(site, pipeline), await site.records.releases(pipeline))


async def _records(site: LocalSite, pipeline: str) -> list[RunRecord]:
    return [record for record in await site.records.runs(pipeline) if record.target == NAME]
