"""One run of a pipeline at a time in a cluster: a Lease that names the run and who carries it out.

Unlike a file lock, nothing gives it back when its holder dies. So the holder renews it; whoever
wants it takes it at once when the holder is known to have ended, and otherwise after it has been
silent for `DURATION` seconds. Every change is made to exactly what was read (`resourceVersion`):
of two that want it, one gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bodywork.errors import BodyworkError, BusyError, NotFoundError
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api, ConflictError
from bodywork.targets.kubernetes.kinds import LEASE, Object
from bodywork.targets.kubernetes.lease import lease_object
from bodywork.targets.kubernetes.lease.holder import Identity, lives
from bodywork.targets.kubernetes.lease.keeper import RENEW, LeaseKeeper
from bodywork.targets.kubernetes.lease.lease_object import DURATION, Holder, holder_of
from bodywork.targets.kubernetes.lease.silence import Silence

LOOK = 0.5
"""Seconds between looks at the lease of another."""

PATIENCE = 3 * RENEW
"""Seconds after which a holder that has not renewed its lease is remarkable."""


class PipelineLease:
    """The lease of one pipeline; `identity` is who would hold it, `note` takes a sentence for the user."""

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        pipeline: str,
        object_name: str,
        identity: Identity,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._pipeline = pipeline
        self._object_name = object_name
        self._name = lease_object.name_of(object_name)
        self._identity = identity
        self._note = note

    @asynccontextmanager
    async def hold(
        self,
        run: str,
        *,
        wait: bool = False,
        on_cancel: Callable[[], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[None]:
        """Be the one run in progress. The namespace has to be there.

        Raises BusyError that names the run in progress; with `wait`, waits for its end. `on_cancel`
        is called once when another command asks the run to stop.

        When another command has taken the lease over, after a long silence of this one, or
        somebody has deleted it, the run must not act any more: `on_lost` is called, then the task
        is cancelled that runs the body, and BusyError is raised in place of that. What the body
        does on its way out must leave the cluster alone: let `on_lost` see to that.
        """
        keeper = LeaseKeeper(self._api, await self._acquire(run, wait), on_cancel, on_lost)
        try:
            try:
                yield
            finally:
                await keeper.release()
        except asyncio.CancelledError:
            if keeper.lost and keeper.nothing_else_cancelled():
                raise self._lost(run) from None
            raise
        except BodyworkError as error:  # what was not to be done any more, on the way out
            if keeper.lost and keeper.nothing_else_cancelled():
                raise self._lost(run) from error
            raise

    async def holder(self) -> Holder | None:
        """The run in progress. None: there is none, or who carried it out is gone or silent.

        Answers at once, unless the holder cannot be asked and may have ended: then it is watched
        for up to six seconds. This is to tell the user; for taking over, no clock is believed.
        """
        silence = Silence()
        while held := holder_of(await self._get()):
            known = await lives(self._api, held.identity)
            silence.see(held.mark, time.monotonic())
            if known is False:
                break
            if known or silence.moved or abs(time.time() - held.renewed) < PATIENCE:
                return held
            if silence.seconds > PATIENCE:
                break
            await asyncio.sleep(LOOK)
        return None

    async def held(self) -> Holder | None:
        """Who holds it, whether anything is heard of that one or not."""
        return holder_of(await self._get())

    async def ask_to_stop(self) -> None:
        """Ask the run in progress to stop; it hears of it within two seconds. Nothing if there is none."""
        held = holder_of(await self._get())
        if held is not None:
            change = {"metadata": {"annotations": {lease_object.STOP: held.token}}}
            with contextlib.suppress(NotFoundError):
                await self._api.patch(LEASE, self._name, self._namespace, change)

    async def remove(self) -> None:
        """Delete the lease, if nobody holds it."""
        lease = await self._get()
        if lease is not None and holder_of(lease) is None:
            await self._api.delete(LEASE, self._name, self._namespace, uid=lease["metadata"]["uid"])

    async def _acquire(self, run: str, wait: bool) -> Object:
        silence, noted, token = Silence(), False, secrets.token_hex(8)
        while True:
            lease = await self._get()
            held, known = holder_of(lease), None
            if lease is not None and held is not None and held.token == token:
                return lease  # taken before, and the answer was lost
            if held is not None:
                known = await self._lives(held.identity)
                silence.see(held.mark, time.monotonic())
            if held is None or known is False or (known is None and silence.seconds >= DURATION):
                with contextlib.suppress(AlreadyThereError, ConflictError):
                    return await self._take(lease, run, token)
                continue
            if not wait and (known or silence.moved):
                raise self._busy(held)
            if known is None and silence.seconds > PATIENCE and not noted:
                self._note(self._waiting(held))
                noted = True
            await asyncio.sleep(LOOK)

    async def _lives(self, who: Identity) -> bool | None:
        """As `lives`; a container of this very pod was there before us, and has ended."""
        if who.pod and (who.namespace, who.pod) == (self._identity.namespace, self._identity.pod):
            return False
        return await lives(self._api, who)

    async def _take(self, lease: Object | None, run: str, token: str) -> Object:
        mine = lease_object.held(
            lease,
            namespace=self._namespace,
            pipeline=self._object_name,
            run=run,
            identity=self._identity,
            token=token,
        )
        return await (self._api.create(mine) if lease is None else self._api.replace(mine))

    async def _get(self) -> Object | None:
        return await self._api.get(LEASE, self._name, self._namespace)

    def _busy(self, held: Holder) -> BusyError:
        return BusyError(
            f"pipeline {self._pipeline} is busy: run {held.run} ({held.who}) is in progress",
            hint=f"wait for it with --wait, or stop it: bodywork stop {self._pipeline}",
        )

    def _waiting(self, held: Holder) -> str:
        return (
            f"run {held.run} of {self._pipeline} was in progress ({held.who}), but nothing is heard of"
            f" it now: after {DURATION} seconds of silence it counts as interrupted"
        )

    def _lost(self, run: str) -> BusyError:
        return BusyError(
            f"run {run} is not carried out here any more: another command has taken pipeline"
            f" {self._pipeline} over, or its lease {self._name} in namespace {self._namespace} was deleted",
            hint=f"see what goes on: bodywork status {self._pipeline}",
        )
