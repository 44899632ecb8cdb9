"""Small workflows, plans and a way to run them on the fake target, for tests of everything in run/."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from bodywork.run.engine import execute
from bodywork.run.events import Event, RunEnded, StageEnded
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import ObservedService, Plan, Source, make_plan
from bodywork.run.states import RunState
from bodywork.spec.model import Batch, Input, Output, Project, Service, Stage
from bodywork.testing import FakeClock, FakeTarget, Script

SOURCE = Source(
    repository="https://git.example/iris",
    ref="main",
    commit="c0ffee" + "0" * 34,
    file="bodywork.yaml",
    folder="",
    files="files-1",
)


def batch(name: str, after: Iterable[str] = (), *, outputs: str = "", inputs: str = "", **more: Any) -> Stage:
    """A batch stage; `inputs` are like `train.model`, blanks between."""
    timeout, retries = more.pop("timeout", None), more.pop("retries", 0)
    return _stage(name, after, outputs, inputs, Batch(timeout=timeout, retries=retries), more)


def service(name: str, after: Iterable[str] = (), *, inputs: str = "", **more: Any) -> Stage:
    does = Service(port=5000, startup_timeout=more.pop("startup_timeout", 120.0))
    return _stage(name, after, "", inputs, does, more)


def _stage(
    name: str, after: Iterable[str], outputs: str, inputs: str, does: Batch | Service, more: dict[str, Any]
) -> Stage:
    made = tuple(Output(name=output, file=f"{output}.bin") for output in outputs.split())
    read = [wanted.split(".") for wanted in inputs.split()]
    return Stage(
        name=name,
        object_name=name.replace("_", "-"),
        run=f"{name}.py",
        after=frozenset(after),
        outputs=made,
        inputs=tuple(Input(name=output, stage=stage, output=output) for stage, output in read),
        does=does,
        **more,
    )


def project(*stages: Stage, on_failure: Stage | None = None, **more: Any) -> Project:
    steps = tuple((stage.name,) for stage in stages)
    return Project(
        name="iris",
        object_name="iris",
        version="2",
        stages=stages,
        steps=steps,
        on_failure=on_failure,
        **more,
    )


def run_record(run: str, **more: Any) -> RunRecord:
    """The record of a run of `iris` in progress."""
    values: dict[str, Any] = {
        "pipeline": "iris",
        "target": "local",
        "repository": "https://git.example/iris",
        "ref": "main",
        "commit": "c" * 40,
        "state": RunState.RUNNING,
        "started": 1.0,
        "ended": None,
        "kind": "deploy",
        "reason": "",
    }
    return RunRecord(run=run, **{**values, **more})


def plan(
    *stages: Stage,
    on_failure: Stage | None = None,
    observed: Mapping[str, ObservedService] | None = None,
    **more: Any,
) -> Plan:
    """The plan of a project that has just these stages, all in one environment."""
    every = (*stages, on_failure) if on_failure else stages
    defaults: dict[str, Any] = {
        "run": "run-1",
        "target": "fake",
        "project": project(*stages, on_failure=on_failure),
        "source": SOURCE,
        "environments": {stage.name: "lock-1" for stage in every},
        "observed": observed or {},
    }
    return make_plan(**{**defaults, **more})


def running(planned: Plan, name: str, **more: Any) -> ObservedService:
    """The service `name` as a run of this plan would have left it."""
    item = planned.stage(name)
    values: dict[str, Any] = {
        "name": name,
        "fingerprint": item.fingerprint,
        "parts": item.parts,
        "inputs": {},
        "release": "run-0",
        "url": "http://127.0.0.1:5000",
        "ready": 1,
        "replicas": 1,
    }
    return ObservedService(**{**values, **more})


@dataclass
class Ran:
    """A run that has ended (or whose engine has raised `error`)."""

    target: FakeTarget
    events: list[Event]
    error: Exception | None = None

    @property
    def state(self) -> RunState:
        return self.end.state

    @property
    def end(self) -> RunEnded:
        assert isinstance(self.events[-1], RunEnded), self.error
        return self.events[-1]

    def ended(self, name: str) -> StageEnded:
        (found,) = [e for e in self.events if isinstance(e, StageEnded) and e.stage == name]
        return found

    @property
    def states(self) -> dict[str, str]:
        return {e.stage: str(e.state) for e in self.events if isinstance(e, StageEnded)}

    def at(self, what: str, stage: str) -> list[float]:
        """When the target was asked for that, in seconds since the run's start."""
        start = self.events[0].at
        return [c.at - start for c in self.target.calls if c.what == what and c.stage == stage]


def run(
    planned: Plan,
    scripts: Mapping[str, Script] | None = None,
    *,
    target: FakeTarget | None = None,
    past: Sequence[Event] = (),
    cancel_when: Callable[[Event], bool] | None = None,
    fail_fast: bool = False,
    jitter: float = 0.5,
) -> Ran:
    """Execute a plan on a fake target, in no time; `cancel_when` sets `cancel` after such an event."""
    where = target or FakeTarget(FakeClock(), scripts)
    seen: list[Event] = []
    cancel = asyncio.Event()

    async def work() -> Exception | None:
        events = execute(
            planned,
            where,
            past=past,
            fail_fast=fail_fast,
            cancel=cancel,
            clock=where.clock,
            jitter=lambda: jitter,
        )
        try:
            async with aclosing(events):
                async for event in events:
                    seen.append(event)
                    if cancel_when is not None and cancel_when(event):
                        cancel.set()
        except Exception as error:
            return error
        return None

    return Ran(where, seen, asyncio.run(where.clock.drive(work())))
