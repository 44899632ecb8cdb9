"""Free space: forget old runs, and what nothing reaches any more."""

from __future__ import annotations

import asyncio
from typing import Protocol

from bodywork.app.freed import Freed, Wish
from bodywork.app.parts import Parts
from bodywork.app.sites import wanting_the_extra
from bodywork.app.where import LOCAL, Where


class Pruner(Protocol):
    """Who prunes a target."""

    async def prune(self, wish: Wish) -> Freed: ...


def prune(parts: Parts, where: Where, wish: Wish) -> Freed:
    """Raises NotFoundError when there is no such pipeline, BusyError while another prune is at work."""
    return asyncio.run(_pruner(parts, where).prune(wish))


def _pruner(parts: Parts, where: Where) -> Pruner:
    if where.kind == LOCAL:
        from bodywork.app.here.prune import PruneHere

        return PruneHere(parts)
    with wanting_the_extra():
        from bodywork.app.cluster.prune import PruneCluster
    return PruneCluster(parts, where)
