"""One attempt of a stage: starts it and passes on what it does. It decides nothing.

    starting ──(target.start)──> watched ──(Ended)──> over

`stop` works in each of the three: what is still being started is given up, or, when that comes too
late, stopped as soon as it is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import StrEnum

from bodywork.errors import BodyworkError, UnreachableError
from bodywork.run.plan import Plan, PlannedStage
from bodywork.run.reports import Finished, Held, Output, Over, Reports, Running
from bodywork.spec.model import Service
from bodywork.targets.base import Began, Ended, Exited, Handle, Printed, Target, Waiting

TAIL = 10
"""Last lines of a service that are kept to explain why it never became ready."""


class Stop(StrEnum):
    """Why an attempt was stopped."""

    EXPIRED = "its time was up"
    HALTED = "the run was cancelled, or another stage failed"


class Attempt:
    """The attempt with number `number` (from 1) of a stage."""

    def __init__(
        self, plan: Plan, target: Target, planned: PlannedStage, number: int, reports: Reports
    ) -> None:
        self.number = number
        self.began = False  # its module runs now
        self.seen = False  # and did so at any time
        self.stopped: Stop | None = None
        self.key = ""
        self._plan = plan
        self._target = target
        self._planned = planned
        self._reports = reports
        self._handle: Handle | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=TAIL)

    @property
    def last_lines(self) -> tuple[str, ...]:
        return tuple(self._tail)

    async def run(self, inputs: Mapping[str, str], variables: Mapping[str, str]) -> None:
        """Start and watch; the last thing reported is `Over`."""
        name, self._task = self._planned.stage.name, asyncio.current_task()
        try:
            handle = await self._started(inputs, variables)
        except BodyworkError as error:
            self._over = True
            if isinstance(error, UnreachableError):
                raise
            self._reports.put(Over(name, Ended(ok=False, reason=sentence(error), retry=False)))
            return
        if handle is None:
            self._over = True
            self._reports.put(Over(name, Ended(ok=False)))
            return
        self.key, self._handle, self.number = handle.key, handle, handle.attempt
        if self.stopped:
            await self._target.stop(handle)
        self._reports.put(Over(name, await self._watched(name, handle)))

    async def _started(self, inputs: Mapping[str, str], variables: Mapping[str, str]) -> Handle | None:
        """None: `stop` came before there was anything to stop."""
        if self.stopped:
            return None
        try:
            return await self._target.start(
                self._plan, self._planned, attempt=self.number, inputs=inputs, variables=variables
            )
        except asyncio.CancelledError:
            if not self.stopped or self._task is None:
                raise
            self._task.uncancel()
            return None

    async def stop(self, why: Stop) -> None:
        """End the attempt, if it has not ended; the reason given first counts."""
        if self._over or self.stopped:
            return
        self.stopped = why
        try:
            if self._handle is not None:
                await self._target.stop(self._handle)
            elif self._task is not None:
                self._task.cancel()
        except Exception:
            if self._task is not None:
                self._task.cancel()  # there may never be an end to watch for
            raise

    async def _watched(self, name: str, handle: Handle) -> Ended:
        ended: Ended | None = None
        async for sign in self._target.watch(handle):
            match sign:
                case Began(key=key):
                    self._reports.put(Running(name, key))
                case Waiting(reason=reason):
                    self._reports.put(Held(name, reason))
                case Printed(text=text) if text:
                    self._remember(text)
                    await self._reports.put_output(Output(name, text))
                case Exited():
                    self._reports.put(Finished(name))
                case Ended():
                    self._over, ended = True, sign
        if ended is not None:
            return ended
        raise RuntimeError(f"target {self._target.name}: stage {name} ended without an Ended")

    def _remember(self, text: str) -> None:
        if not isinstance(self._planned.stage.does, Service):
            return
        self._tail.extend(line[:500] for line in text[-TAIL * 500 :].splitlines()[-TAIL:])


def sentence(error: BodyworkError) -> str:
    """An error as the reason of a stage's end."""
    return f"{error.message} ({error.hint})" if error.hint else error.message
