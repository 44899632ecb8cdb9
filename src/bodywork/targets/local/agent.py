"""The agent: one background process for each $BODYWORK_HOME that keeps services running, and fires schedules.

What happens is put in one queue and decided by one loop (`Agent.run`), in order; deeds that take time
go on beside it and put their results in the queue. What should run is in the store, so that an agent
that dies is followed by one that goes on where it was (`guard` and `watchdog` see to that).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

from bodywork.errors import MachineError
from bodywork.process import alive
from bodywork.targets.local.adoption import end_strays
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.guard import Guard
from bodywork.targets.local.logfile import rotate
from bodywork.targets.local.pace import Pace
from bodywork.targets.local.premises import Premises, log
from bodywork.targets.local.protocol import (
    LIMIT,
    VERSION,
    AgentStatus,
    ServiceStatus,
    log_path,
    socket_path,
)
from bodywork.targets.local.record import ServiceRecord, ServiceStore
from bodywork.targets.local.rollout import Outcome, Report
from bodywork.targets.local.schedules import NoSchedules, Schedules
from bodywork.targets.local.service import Service
from bodywork.targets.local.session import Session
from bodywork.targets.local.standing import resident_size, standing

Key = tuple[str, str]
DESCRIPTORS = 16384


async def serve(
    home: Path, store: ServiceStore, *, pace: Pace | None = None, schedules: Schedules | None = None
) -> None:
    """Be the agent of `home` until there is nothing to do, or until told to stop.

    Returns at once when another agent is. Must be the main thread's only work: it takes SIGTERM.
    """
    home = home.absolute()
    guard = Guard(home)
    if not guard.enter():
        log("another agent looks after this home already")
        return
    agent = Agent(home, store, pace or Pace(), guard, schedules or NoSchedules())
    try:
        await agent.run()
    finally:
        guard.leave()
        log("left")


def _allow_connections() -> None:
    """Two descriptors for each connection of a client soon exceed the usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    with contextlib.suppress(OSError, ValueError):
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Agent:
    """The services of a home, and the loop that decides about them."""

    def __init__(
        self, home: Path, store: ServiceStore, pace: Pace, guard: Guard, schedules: Schedules
    ) -> None:
        self.premises = Premises(home, store, pace)
        self.schedules = schedules
        self.services: dict[Key, Service] = {}
        self.ended = asyncio.Event()
        self._guard = guard
        self._stopping = False
        self._started = time.time()
        self._sessions: set[asyncio.Task[None]] = set()
        self._removals: list[tuple[Collection[Key], asyncio.Future[None]]] = []
        self._idle_since = 0.0

    async def run(self) -> None:
        """Decide about one thing after another."""
        loop = asyncio.get_running_loop()
        _allow_connections()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.premises.decide, self.stop)
        server = await self._listen()
        try:
            self._restore()
            self._guard.watch()
            self._tick()
            firing = self.premises.do(self.schedules.run())
            log(f"bodywork {VERSION} looks after {len(self.services)} services as process {os.getpid()}")
            while not self._over():
                decision = await self.premises.queue.get()
                try:
                    decision()
                except Exception:
                    log(f"bug: {traceback.format_exc()}")
                self._settle()
            self._guard.mark_stopped()
            firing.cancel()
        finally:
            server.close()
            self.ended.set()
            await self._dismiss_sessions()
            with contextlib.suppress(OSError):
                socket_path(self.premises.home).unlink()

    # What is asked

    def decide(self, decision: Callable[[], object]) -> None:
        """Queue a decision for the loop."""
        self.premises.decide(decision)

    def begin(self, definition: Definition) -> Report:
        if self._stopping:
            report = Report()
            report.ended(Outcome(ok=False, reason="the agent is being stopped"))
            return report
        service = self.services.get(definition.key)
        if service is None:
            service = self.services[definition.key] = Service(self.premises, *definition.key)
        return service.begin(definition)

    def abandon(self, definition: Definition, report: Report) -> None:
        """The command that asked for a rollout has gone: undo it."""
        service = self.services.get(definition.key)
        if service is not None and service.rollout is not None and service.rollout.report is report:
            service.abort(definition.release, "the command that asked for it has gone")

    def abort(self, pipeline: str, stage: str, release: str, reason: str) -> str:
        service = self.services.get((pipeline, stage))
        return service.abort(release, reason) if service is not None else ""

    def remove(self, keys: Collection[Key], done: asyncio.Future[None]) -> None:
        """End services for good; `done` when nothing of them is left."""
        for key in keys:
            if key in self.services:
                try:
                    self.services[key].remove()
                except Exception as error:
                    done.set_exception(MachineError(f"the removal could not be stored: {error}"))
                    return
        self._removals.append((keys, done))

    def stop(self) -> None:
        """End all processes and then ourselves; services come back with the next agent."""
        if not self._stopping:
            self._stopping = True
            self._guard.mark_stopped()
            log("stopping")
            for service in self.services.values():
                service.stop()

    def wake_schedules(self) -> None:
        self.schedules.wake()

    def status(self) -> AgentStatus:
        watchdog = self._guard.watchdog_pid()
        return AgentStatus(
            pid=os.getpid(),
            watchdog=watchdog,
            started=self._started,
            version=VERSION,
            services=sum(service.current is not None for service in self.services.values()),
            schedules=self.schedules.active,
            memory=resident_size(os.getpid()),
            watchdog_memory=resident_size(watchdog) if watchdog else None,
        )

    def service_statuses(self, pipeline: str | None) -> list[ServiceStatus]:
        return [
            found
            for key, service in sorted(self.services.items())
            if pipeline in (None, key[0]) and (found := standing(service)) is not None
        ]

    # The loop

    def _restore(self) -> None:
        """Take over what the store says. Documents that cannot be read are left alone."""
        records: dict[Key, ServiceRecord] = {}
        for pipeline, stage, document in self.premises.store.services():
            try:
                records[pipeline, stage] = ServiceRecord.decode(document)
            except (ValueError, KeyError, TypeError) as error:
                log(f"{pipeline}/{stage}: its document cannot be read: {error!r}")
        ports = [
            replica.port
            for record in records.values()
            for release in (record.current, record.candidate, *record.leaving)
            if release is not None
            for replica in release.replicas
            if alive(replica.identity)
        ]
        if strays := end_strays(self.premises.home, ports):
            log(f"ended processes that no service knows: {strays}")
        for key, record in records.items():
            service = self.services[key] = Service(self.premises, *key)
            service.restore(record)

    def _settle(self) -> None:
        """What follows from any decision: forget what is empty, answer who waits for that."""
        for key in [key for key, service in self.services.items() if service.empty]:
            del self.services[key]
        for removal in list(self._removals):
            keys, done = removal
            if not any(key in self.services for key in keys):
                self._removals.remove(removal)
                if not done.done():
                    done.set_result(None)

    def _over(self) -> bool:
        if self._stopping:
            return not self.services
        now = self.premises.now()
        if self.services or self._sessions or self.schedules.wanted or not self._idle_since:
            self._idle_since = now
        return now - self._idle_since > self.premises.pace.leave

    def _tick(self) -> None:
        """Now and then: logs, and whether our home is still there."""
        pace = self.premises.pace
        files = [replica.log for service in self.services.values() for replica in service.replicas]
        for path in (*files, log_path(self.premises.home)):
            with contextlib.suppress(OSError):
                rotate(path, size=pace.log_size, keep=pace.log_files)
        if not self._guard.still_ours():
            log("this home has been removed or given to another agent")
            self.stop()
        self.premises.later(pace.tick, self._tick)

    # The socket

    async def _listen(self) -> asyncio.Server:
        path = socket_path(self.premises.home)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._connected, path, limit=LIMIT)
        finally:
            os.umask(before)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await Session(self, reader, writer).serve()
        except Exception:
            log(f"bug: {traceback.format_exc()}")
        finally:
            self._sessions.discard(task)

    async def _dismiss_sessions(self) -> None:
        """Let those that wait for our end hear of it."""
        if self._sessions:
            await asyncio.wait(set(self._sessions), timeout=1.0)
        sys.stderr.flush()
