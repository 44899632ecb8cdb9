"""What the tasks of a run report to the loop that decides, and the queue between them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bodywork.run.plan import ObservedService
from bodywork.targets.base import Ended

ROOM = 16
"""Pieces of output that may wait for the consumer of events; the stages wait when there are more."""


@dataclass(frozen=True)
class Prepared:
    """A stage can be started, or (with a `problem`) never will be."""

    stage: str
    problem: str = ""


@dataclass(frozen=True)
class Observed:
    """What the target has of a service whose turn has come."""

    stage: str
    service: ObservedService | None


@dataclass(frozen=True)
class Running:
    """The module of a stage runs."""

    stage: str
    key: str


@dataclass(frozen=True)
class Held:
    """A stage cannot run (any more) for a reason that is not its own; "": it can again."""

    stage: str
    reason: str


@dataclass(frozen=True)
class Finished:
    """The module of a stage has ended; the attempt goes on until what it made is kept."""

    stage: str


@dataclass(frozen=True)
class Output:
    """A stage has printed whole lines."""

    stage: str
    text: str


@dataclass(frozen=True)
class Over:
    """An attempt has ended."""

    stage: str
    ended: Ended


@dataclass(frozen=True)
class Expired:
    """The time that an attempt had is up."""

    stage: str
    attempt: int


@dataclass(frozen=True)
class RetryDue:
    """The pause before the next attempt is over."""

    stage: str


@dataclass(frozen=True)
class Removed:
    """The services that the workflow no longer names are gone."""


@dataclass(frozen=True)
class CancelAsked:
    """Somebody wants the run to end."""


@dataclass(frozen=True)
class Crashed:
    """A method of the target raised what it should not."""

    error: Exception


StageReport = Prepared | Observed | Running | Held | Finished | Output | Over | Expired | RetryDue
"""What concerns one stage."""

Report = StageReport | Removed | CancelAsked | Crashed


class Reports:
    """The queue of what tasks report. Output waits for room in it, all else never does."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Report] = asyncio.Queue()
        self._room = asyncio.Semaphore(ROOM)
        self._deaf = False

    def put(self, report: Report) -> None:
        self._queue.put_nowait(report)

    async def put_output(self, output: Output) -> None:
        if not self._deaf:
            await self._room.acquire()
            self.put(output)

    async def get(self) -> Report:
        report = await self._queue.get()
        if isinstance(report, Output):
            self._room.release()
        return report

    def drop_output(self, writers: int) -> None:
        """Nobody listens any more: let the `writers` that wait for room go on."""
        self._deaf = True
        for _ in range(writers):
            self._room.release()

    def errors(self) -> list[Exception]:
        """What is left of errors in the queue, which is emptied."""
        found = []
        while not self._queue.empty():
            report = self._queue.get_nowait()
            if isinstance(report, Crashed):
                found.append(report.error)
        return found
