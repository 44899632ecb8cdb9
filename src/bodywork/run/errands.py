"""What the engine has done for it outside of its loop: tasks that end with a report.

`Errands` knows how to ask target and clock and keeps all tasks, so that none is forgotten: helpers
may be cancelled at any time; deeds must come to their end, since something may run because of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bodywork.errors import BodyworkError
from bodywork.run.attempt import sentence
from bodywork.run.clock import Clock
from bodywork.run.plan import Plan, PlannedStage
from bodywork.run.reports import (
    CancelAsked,
    Crashed,
    Expired,
    Observed,
    Prepared,
    Removed,
    Reports,
    RetryDue,
)
from bodywork.targets.base import Target


class Errands:
    """The tasks of one execution of a plan."""

    def __init__(self, plan: Plan, target: Target, clock: Clock, reports: Reports) -> None:
        self._plan = plan
        self._target = target
        self._clock = clock
        self._reports = reports
        self._helpers: set[asyncio.Task[None]] = set()
        self._deeds: set[asyncio.Task[None]] = set()

    def prepare(self, planned: PlannedStage) -> asyncio.Task[None]:
        async def work() -> None:
            try:
                await self._target.prepare(self._plan, planned)
            except BodyworkError as error:
                self._reports.put(Prepared(planned.stage.name, sentence(error)))
            else:
                self._reports.put(Prepared(planned.stage.name))

        return self._start(self._helpers, work)

    def observe(self, stage: str) -> asyncio.Task[None]:
        async def work() -> None:
            observed = await self._target.observe(self._plan.pipeline)
            self._reports.put(Observed(stage, observed.get(stage)))

        return self._start(self._helpers, work)

    def limit(self, stage: str, attempt: int, seconds: float) -> asyncio.Task[None]:
        async def work() -> None:
            await self._clock.sleep(seconds)
            self._reports.put(Expired(stage, attempt))

        return self._start(self._helpers, work)

    def pause(self, stage: str, seconds: float) -> asyncio.Task[None]:
        async def work() -> None:
            await self._clock.sleep(seconds)
            self._reports.put(RetryDue(stage))

        return self._start(self._helpers, work)

    def await_cancel(self, cancel: asyncio.Event) -> None:
        async def work() -> None:
            await cancel.wait()
            self._reports.put(CancelAsked())

        self._start(self._helpers, work)

    def remove(self, services: frozenset[str]) -> None:
        async def work() -> None:
            await self._target.remove(self._plan.pipeline, services)
            self._reports.put(Removed())

        self._start(self._deeds, work)

    def deed(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have something done that must not be broken off."""
        self._start(self._deeds, work)

    async def end(self) -> list[Exception]:
        """Cancel the helpers, await the deeds; what they raised and nobody has heard yet."""
        for task in self._helpers:
            task.cancel()
        self._reports.drop_output(len(self._deeds))
        try:
            while tasks := self._helpers | self._deeds:
                await asyncio.wait(tasks)
        finally:
            for task in self._deeds:  # somebody has no patience
                task.cancel()
        return self._reports.errors()

    def _start(
        self, tasks: set[asyncio.Task[None]], work: Callable[[], Awaitable[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(self._reporting(work))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def _reporting(self, work: Callable[[], Awaitable[None]]) -> None:
        """What a task raises is heard by the loop, unless the task was given up before."""
        try:
            await work()
        except Exception as error:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._reports.put(Crashed(error))
