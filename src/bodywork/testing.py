"""Fakes for tests of anything that stands on the engine: a clock and a target that obey a script.

    clock = FakeClock()
    target = FakeTarget(clock, {"train": Script(acts=(Act(exit_code=1), Act(takes=5)))})
    seen = await clock.drive(collect(execute(plan, target, clock=clock)))
    assert target.started == ["prepare", "train", "train"]

Time moves only when nothing else can happen, so that hours pass in milliseconds and always in the
same order.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bodywork.errors import StageError, UnreachableError
from bodywork.run.plan import ObservedService, Plan, PlannedStage
from bodywork.spec.model import Kind
from bodywork.targets.base import Began, Ended, Exited, Handle, Printed, Sign, Waiting

T = TypeVar("T")

TURNS = 40
"""Turns of the event loop after which tasks that wait only for each other have come to rest."""

PATIENCE = 50
"""So many times in a row may nothing happen before work counts as stuck."""

GRACE = 10.0
"""Seconds that a stage which ignores TERM goes on, as `Target.stop` has it."""


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._start = self._now = now
        self._count = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - self._start

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._count), wake))
        await wake

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move on by so much, waking sleepers in their order."""
        until = self._now + seconds
        await self.settle()
        while (wakes := self._next()) is not None and wakes <= until:
            self._wake(wakes)
            await self.settle()
        self._now = until

    async def drive(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, moving time on whenever everybody waits for it.

        Raises AssertionError when `work` waits for something that no time will bring.
        """
        task = asyncio.create_task(work)
        for _ in range(PATIENCE):
            await self.settle()
            while not task.done() and (wakes := self._next()) is not None:
                self._wake(wakes)
                await self.settle()
            if task.done():
                return task.result()
        task.cancel()
        await asyncio.wait([task])
        raise AssertionError("everybody waits, and nobody for time to pass")

    def _next(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _wake(self, at: float) -> None:
        """All who sleep until `at`, in the order in which they lay down."""
        self._now = max(self._now, at)
        while self._sleepers and self._sleepers[0][0] <= at:
            wake = heapq.heappop(self._sleepers)[2]
            if not wake.done():
                wake.set_result(None)


@dataclass(frozen=True, kw_only=True)
class Act:
    """What one attempt does.

    `start` takes `starts` seconds, the module `takes` (None: it hangs until it is stopped), printing
    `prints` evenly over them, and exits with `exit_code`; 0 means, for a service, that it has become
    ready. Before that it waits a second for each of the reasons `waits`; with `lost`, it is lost after
    its first print for that reason, a second long, and begins again. `outputs` are digests of what it
    wrote (None: one made of stage and output, always the same). `start_error` lets `start` fail.
    After the exit, what it made takes `keeps` seconds to be kept. `retry` is `Ended.retry`. With
    `replicas`, so many are started one after another, `takes` seconds each.
    """

    starts: float = 0.0
    takes: float | None = 1.0
    exit_code: int = 0
    prints: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    lost: str = ""
    outputs: Mapping[str, str] | None = None
    ignores_term: bool = False
    start_error: str = ""
    retry: bool = True
    replicas: int = 1
    keeps: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a stage does: its preparation (in seconds), then attempt by attempt; the last act repeats."""

    prepare: float = 0.0
    prepare_error: str = ""
    acts: tuple[Act, ...] = (Act(),)

    def act(self, attempt: int) -> Act:
        return self.acts[min(attempt, len(self.acts)) - 1]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a method of the target, or an `ended` of an attempt, at time `at`."""

    at: float
    what: str
    stage: str = ""
    attempt: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    """An attempt that has been started."""

    planned: PlannedStage
    act: Act
    inputs: Mapping[str, str]
    run: str
    stopped: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def over_within(self, clock: FakeClock, seconds: float | None) -> None:
        """Wait for its end, but no longer than that (None: as long as it takes)."""
        if self.over.is_set():
            return
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self.over.wait())]
        if seconds is not None:
            waits.append(asyncio.create_task(clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class FakeTarget:
    """A target that does what `scripts` say, by stage name, and writes down what it was asked.

    `services` is what it has; rollouts and removals change it. Methods whose names are in
    `unreachable` raise UnreachableError; the set may be changed at any time. `running` are the
    keys of attempts that run, `cleaned` the handles that `clean` or `regain` was given, `had_ended` what
    `regain` was told of the run. `left` has the
    attempts of an earlier command by stage, which `start` takes over, each once.
    """

    def __init__(
        self,
        clock: FakeClock,
        scripts: Mapping[str, Script] | None = None,
        *,
        services: Mapping[str, ObservedService] | None = None,
        name: str = "fake",
    ) -> None:
        self.clock = clock
        self.scripts = dict(scripts or {})
        self.services = dict(services or {})
        self.unreachable: set[str] = set()
        self.calls: list[Call] = []
        self.cleaned: dict[str, str] = {}
        self.had_ended = False
        self.left: dict[str, int] = {}
        self.printed = 0
        self._name = name
        self._attempts: dict[str, _Running] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def running(self) -> list[str]:
        return [key for key, attempt in self._attempts.items() if not attempt.over.is_set()]

    @property
    def started(self) -> list[str]:
        """The stages that were started, in order, once for each attempt."""
        return self.stages("start")

    def stages(self, what: str) -> list[str]:
        """The stages of all calls of `what`."""
        return [call.stage for call in self.calls if call.what == what]

    async def observe(self, pipeline: str) -> Mapping[str, ObservedService]:
        self._called("observe")
        return dict(self.services)

    async def prepare(self, plan: Plan, planned: PlannedStage) -> None:
        self._called("prepare", planned.stage.name)
        script = self._script(planned)
        await self.clock.sleep(script.prepare)
        if script.prepare_error:
            raise StageError(script.prepare_error)
        self.calls.append(Call(at=self.clock.time(), what="prepared", stage=planned.stage.name))

    async def start(
        self,
        plan: Plan,
        planned: PlannedStage,
        *,
        attempt: int,
        inputs: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> Handle:
        stage = planned.stage.name
        self._called("start", stage, attempt=attempt, inputs=dict(inputs), variables=dict(variables))
        attempt = self.left.pop(stage, attempt)
        act = self._script(planned).act(attempt)
        if act.starts:
            await self.clock.sleep(act.starts)
        if act.start_error:
            raise StageError(act.start_error)
        handle = Handle(stage=stage, attempt=attempt, key=f"{stage}/{attempt}")
        self._attempts[handle.key] = _Running(planned=planned, act=act, inputs=inputs, run=plan.run)
        return handle

    async def watch(self, handle: Handle) -> AsyncIterator[Sign]:
        self._called("watch", handle.stage, attempt=handle.attempt)
        attempt = self._attempts[handle.key]
        act = attempt.act
        for reason in act.waits:
            yield Waiting(reason=reason)
            await attempt.over_within(self.clock, 1.0)
        yield Began(key=handle.key)
        for _ in range(act.replicas - 1):
            await attempt.over_within(self.clock, act.takes)
            yield Began(key=handle.key)
        pause = None if act.takes is None else act.takes / (len(act.prints) + 1)
        for text in act.prints:
            await attempt.over_within(self.clock, pause or 0.0)
            if attempt.over.is_set():
                break
            self.printed += 1
            yield Printed(text=text)
            if act.lost and text == act.prints[0]:
                yield Waiting(reason=act.lost)
                await attempt.over_within(self.clock, 1.0)
                yield Began(key=handle.key)
        await attempt.over_within(self.clock, pause)
        if act.keeps:
            yield Exited()
            await attempt.over_within(self.clock, act.keeps)
        yield self._end(handle, attempt)

    async def stop(self, handle: Handle) -> None:
        self._called("stop", handle.stage, attempt=handle.attempt)
        attempt = self._attempts.get(handle.key)
        if attempt is not None:
            attempt.stopped = True
            await attempt.over_within(self.clock, GRACE if attempt.act.ignores_term else 0.0)
            self._over(handle, attempt)

    async def clean(self, plan: Plan, handles: Mapping[str, str]) -> None:
        self._called("clean")
        self.cleaned.update(handles)

    async def regain(self, plan: Plan, handles: Mapping[str, str], *, ended: bool) -> None:
        self._called("regain")
        self.cleaned.update(handles)
        self.had_ended = ended

    async def remove(self, pipeline: str, services: frozenset[str]) -> None:
        for name in sorted(services):
            self._called("remove", name)
            self.services.pop(name, None)

    async def close(self, plan: Plan) -> None:
        self.calls.append(Call(at=self.clock.time(), what="close"))

    def _over(self, handle: Handle, attempt: _Running) -> None:
        if not attempt.over.is_set():
            attempt.over.set()
            self.calls.append(
                Call(at=self.clock.time(), what="ended", stage=handle.stage, attempt=handle.attempt)
            )

    def _end(self, handle: Handle, attempt: _Running) -> Ended:
        self._over(handle, attempt)
        act, stage = attempt.act, attempt.planned.stage
        if attempt.stopped:
            service = stage.kind is Kind.SERVICE
            return Ended(ok=False, reason="it listens on no port" if service else "was killed by SIGTERM")
        if act.exit_code != 0:
            reason = f"exited with {act.exit_code}"
            return Ended(ok=False, reason=reason, exit_code=act.exit_code, retry=act.retry)
        if stage.kind is Kind.SERVICE:
            self.services[stage.name] = _rolled_out(attempt)
            return Ended(ok=True)
        made = {output.name: _digest(stage.name, output.name) for output in stage.outputs}
        return Ended(ok=True, exit_code=0, outputs=made if act.outputs is None else act.outputs)

    def _script(self, planned: PlannedStage) -> Script:
        return self.scripts.get(planned.stage.name) or Script()

    def _called(self, what: str, stage: str = "", **more: Any) -> None:
        self.calls.append(Call(at=self.clock.time(), what=what, stage=stage, **more))
        if what in self.unreachable:
            raise UnreachableError(f"target {self.name} does not answer ({what})")


def _rolled_out(attempt: _Running) -> ObservedService:
    planned, service = attempt.planned, attempt.planned.stage.service
    return ObservedService(
        name=planned.stage.name,
        fingerprint=planned.fingerprint,
        parts=planned.parts,
        inputs=attempt.inputs,
        release=attempt.run,
        url=f"http://127.0.0.1:{service.port}",
        ready=service.replicas,
        replicas=service.replicas,
    )


def _digest(stage: str, output: str) -> str:
    return hashlib.sha256(f"{stage}.{output}".encode()).hexdigest()
