"""Keeping a lease that was taken: renewing it, seeing what it is asked, noticing its loss, giving it back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from bodywork.errors import BodyworkError, NotFoundError
from bodywork.targets.kubernetes.client.api import Api, ConflictError
from bodywork.targets.kubernetes.kinds import LEASE, Object
from bodywork.targets.kubernetes.lease.lease_object import asked_to_stop, holder_of, released, renewed

RENEW = 2.0
"""Seconds between renewals, and until a wish to stop is seen."""


class LeaseKeeper:
    """Keeps `lease`, as it was just written, for the task that makes this object.

    `lost` is true once somebody else has the lease; `on_lost` was called then, and the task
    cancelled. While the API server is away nobody else can take the lease, so that is no loss.
    """

    def __init__(
        self, api: Api, lease: Object, on_cancel: Callable[[], None], on_lost: Callable[[], None]
    ) -> None:
        self._api, self._lease = api, lease
        self._on_cancel, self._on_lost = on_cancel, on_lost
        self.lost = False
        body = asyncio.current_task()
        assert body is not None
        self._body, self._cancelled_before = body, body.cancelling()
        self._keeping = asyncio.create_task(self._keep())

    def nothing_else_cancelled(self) -> bool:
        """Whether the loss alone has cancelled the task; that is taken back. Call it once."""
        return self._body.uncancel() <= self._cancelled_before

    async def release(self) -> None:
        """Stop keeping the lease and give it back, if it is still ours and the cluster can be reached."""
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        if self.lost:
            return
        with contextlib.suppress(BodyworkError):
            while True:
                try:
                    await self._api.replace(released(self._lease))
                    return
                except ConflictError:
                    if not await self._read():
                        return

    async def _keep(self) -> None:
        asked = False
        while not self.lost:
            await asyncio.sleep(RENEW)
            try:
                ours = await self._renew()
            except BodyworkError:
                continue
            if not ours:
                self.lost = True
                self._on_lost()
                self._body.cancel()
            elif asked_to_stop(self._lease) and not asked:
                asked = True
                self._on_cancel()

    async def _renew(self) -> bool:
        """Whether the lease is still ours. One that was only changed is renewed the next time."""
        try:
            self._lease = await self._api.replace(renewed(self._lease))
            return True
        except (ConflictError, NotFoundError):
            return await self._read()

    async def _read(self) -> bool:
        metadata = self._lease["metadata"]
        now = await self._api.get(LEASE, metadata["name"], metadata["namespace"])
        holder, mine = holder_of(now), holder_of(self._lease)
        if now is None or holder is None or mine is None or holder.token != mine.token:
            return False
        self._lease = now
        return True
