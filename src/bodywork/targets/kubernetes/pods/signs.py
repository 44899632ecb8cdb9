"""What a stage does, from whoever follows its pods to whoever watches the attempt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from bodywork.targets.base import Ended, Sign


async def signs(
    queue: asyncio.Queue[Sign | Exception], follow: Callable[[], Coroutine[Any, Any, None]]
) -> AsyncGenerator[Sign, None]:
    """What `follow` puts into the queue, up to `Ended`; an error in the queue is raised."""
    following = asyncio.create_task(follow())
    try:
        while True:
            sign = await queue.get()
            if isinstance(sign, Exception):
                raise sign
            yield sign
            if isinstance(sign, Ended):
                return
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
