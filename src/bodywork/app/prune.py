"""Free space: forget old runs, and what nothing reaches any more."""

from __future__ import annotations

import asyncio
from typing import Protocol

from bodywork.app.freed import Freed, Wish
from bodywork.app.parts import Parts
from bodywork.app.where import LOCAL, Where
from bodywork.errors import UsageError


class Pruner(Protocol):
    """Who prunes a target."""

    async def prune(self, wish: Wish) -> Freed: ...


def prune(parts: Parts, where: Where, wish: Wish) -> Freed:
    """Raises NotFoundError when there is no such pipeline, BusyError while another prune is at work."""
    return asyncio.run(_pruner(parts, where).prune(wish))


def _pruner(parts: Parts, where: Where) -> Pruner:
    if where.kind == LOCAL:
        from bodywork.app.prune_here import PruneHere

        return PruneHere(parts)
    raise UsageError(
        "prune is for this machine: a cluster keeps the newest 20 runs of a pipeline by itself",
        hint="delete old artifacts in a bucket of your own by a rule of the bucket",
    )
