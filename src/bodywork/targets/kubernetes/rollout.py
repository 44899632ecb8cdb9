from __future__ import annotations

from collections.abc import AsyncGenerator

from bodywork.targets.base import Sign


class Rollout:
    key = ""

    async def watch(self) -> AsyncGenerator[Sign, None]:
        raise NotImplementedError
        yield

    async def stop(self) -> None: ...
