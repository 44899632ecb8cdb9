"""Carry out a plan: the engine's events are recorded, then shown; a good end makes a release."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from bodywork.app.notices import tell_end, tell_of_interrupted
from bodywork.app.records import Records
from bodywork.app.site import Site
from bodywork.process import adopt_orphans
from bodywork.run.engine import execute
from bodywork.run.events import (
    Event,
    RunEnded,
    StageEnded,
    StageOutput,
    StagePrepared,
    StagePreparing,
    StageRetrying,
    StageStarted,
    StageWaiting,
)
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.plan import Plan
from bodywork.run.states import RunState, StageState
from bodywork.targets.base import Target

NOTED = (StagePreparing, StagePrepared, StageStarted, StageWaiting, StageRetrying)
"""Events upon which the engine does nothing that it would not do without them."""


class Watcher(Protocol):
    """Somebody who is told what happens, as it happens."""

    def note(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...

    def planned(self, plan: Plan, *, resumed: bool = False) -> None: ...

    def event(self, event: Event) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    pipeline: str
    run: str
    state: RunState
    reason: str


def new_run() -> str:
    """A run's id: sorts by time, valid as a label and in names, unique on a machine and beyond."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def record_of(
    planned: Plan, kind: Literal["deploy", "schedule", "rollback"], *, backfill: str | None = None
) -> RunRecord:
    return RunRecord(
        run=planned.run,
        pipeline=planned.pipeline,
        target=planned.target,
        repository=planned.source.repository,
        ref=planned.source.ref,
        commit=planned.source.commit,
        state=RunState.RUNNING,
        started=time.time(),
        ended=None,
        kind=kind,
        reason="",
        date=planned.date,
        backfill=backfill,
    )


async def carry_out(
    site: Site,
    planned: Plan,
    target: Target,
    watcher: Watcher,
    *,
    cancel: asyncio.Event,
    signals: bool = True,
    past: Sequence[Event] = (),
    fail_fast: bool = False,
    release: bool = True,
    tell: bool = True,
    failed_before: bool = False,
) -> Outcome:
    """Run the engine, recording each event before anything is done upon it.

    `cancel` is set by signals too, unless they mean something else (not `signals`). With `release`,
    what the services serve after a good end is recorded as a release, together with that end: no
    crash comes between them. With `tell`, webhooks of the project are told of the end, and of one of
    the run before that nobody has seen; `failed_before`: that one could not even begin.
    """
    adopt_orphans()
    say = watcher.warning
    before = asyncio.ensure_future(
        tell_of_interrupted(site, planned.project, planned.run, say) if tell and not past else _nothing()
    )
    try:
        with set_by_signals(cancel) if signals else nullcontext():
            run = execute(planned, target, past=past, fail_fast=fail_fast, cancel=cancel)
            end, stage = await _follow(run, site.records, planned, target, watcher, release)
        await before
    finally:
        before.cancel()
    failed_before |= any(isinstance(one, RunEnded) and one.state is RunState.FAILED for one in past)
    if tell:
        await tell_end(site, planned.project, planned.run, say, stage=stage, failed_before=failed_before)
    return Outcome(pipeline=planned.pipeline, run=planned.run, state=end.state, reason=end.reason)


async def _nothing() -> None:
    return None


async def _follow(
    run: AsyncGenerator[Event, None],
    records: Records,
    planned: Plan,
    target: Target,
    watcher: Watcher,
    release: bool,
) -> tuple[RunEnded, str | None]:
    """Record and show the events. Gives the last one, and the first stage that failed."""
    end, failed = None, None
    async with aclosing(run) as events:
        async for event in events:
            made = None
            if isinstance(event, RunEnded):
                end = event
                if release and event.state is RunState.SUCCEEDED:
                    made = await _release_of(planned, target)
            elif isinstance(event, StageEnded) and event.state is StageState.FAILED:
                failed = failed or event.stage
            await _record(records, planned.run, event, made)
            watcher.event(event)
    if end is None:
        raise RuntimeError(f"run {planned.run} has no end")
    return end, failed


async def _record(records: Records, run: str, event: Event, made: Release | None) -> None:
    """What the engine acts upon is written down before it goes on; other events may follow."""
    skipped = isinstance(event, StageEnded) and event.state is StageState.SKIPPED
    if skipped or isinstance(event, NOTED):
        await records.note(run, event)
    elif not isinstance(event, StageOutput):
        await records.add(run, event, release=made)


@contextmanager
def set_by_signals(cancel: asyncio.Event) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and the end of the terminal set the event, unless they are ignored (nohup)."""
    loop = asyncio.get_running_loop()
    usual = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    wanted = [one for one in usual if signal.getsignal(one) is not signal.SIG_IGN]
    for one in wanted:
        loop.add_signal_handler(one, cancel.set)
    try:
        yield
    finally:
        for one in wanted:
            loop.remove_signal_handler(one)


async def _release_of(planned: Plan, target: Target) -> Release | None:
    """What the services serve now; None where there are none."""
    observed = await target.observe(planned.pipeline)
    if not observed:
        return None
    return Release(
        pipeline=planned.pipeline,
        target=planned.target,
        run=planned.run,
        commit=planned.source.commit,
        at=time.time(),
        services={name: dict(service.inputs) for name, service in observed.items()},
    )
