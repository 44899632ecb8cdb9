"""What stages have printed: files that stay when the run has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bodywork.app.parts import Parts
from bodywork.app.past import records_of, state_of
from bodywork.errors import NotFoundError
from bodywork.run.events import StageStarted
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.run.states import RunState
from bodywork.spec.model import Kind, Stage

POLL = 0.2
"""Seconds between two looks at a log file that is followed."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Whole lines of a stage's output; `source` is the stage, with the replica of a service."""

    source: str
    text: str


@dataclass
class _File:
    """A log file and how far it has been read."""

    source: str
    path: Path
    position: int = 0
    rest: bytes = field(default=b"", repr=False)

    def read(self) -> Iterator[Chunk]:
        """What has come since the last call; starts again when the file was rotated."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self.position:
                    self.position, self.rest = 0, b""
                file.seek(self.position)
                while block := file.read(1 << 20):
                    self.position += len(block)
                    whole, newline, self.rest = (self.rest + block).rpartition(b"\n")
                    if newline:
                        yield Chunk(source=self.source, text=whole.decode(errors="replace") + "\n")
        except FileNotFoundError:
            return

    def end(self) -> Iterator[Chunk]:
        """The last line, when it does not end with a newline."""
        if self.rest:
            yield Chunk(source=self.source, text=self.rest.decode(errors="replace") + "\n")
            self.rest = b""


def logs(
    parts: Parts,
    pipeline: str,
    stage: str | None,
    run: str | None,
    *,
    follow: bool = False,
    waiting: Callable[[], None] = lambda: time.sleep(POLL),
) -> Iterator[Chunk]:
    """The output of a run's stages (None: all), in the order of the workflow.

    With `follow`, goes on until the run has ended and, when services were asked for, until it is
    interrupted. Raises NotFoundError for a pipeline, run or stage that is not there.
    """
    newest = records_of(parts, pipeline, limit=1)[0]
    record = parts.history.run(run) if run else newest
    plan = parts.history.plan(record.run)
    stages = _chosen(plan, stage)
    files: dict[Path, _File] = {}

    def fresh() -> Iterator[Chunk]:
        for source, path in _paths(parts, record, plan, stages):
            yield from files.setdefault(path, _File(source, path)).read()

    yield from fresh()
    while follow and _goes_on(parts, record.run, stages):
        waiting()
        yield from fresh()
    yield from fresh()
    for file in files.values():
        yield from file.end()


def _chosen(plan: Plan, stage: str | None) -> list[Stage]:
    stages = [planned.stage for planned in plan.all_stages]
    if stage is None:
        return stages
    chosen = [candidate for candidate in stages if candidate.name == stage]
    if not chosen:
        raise NotFoundError(
            f"run {plan.run} of {plan.pipeline} has no stage {stage}",
            hint=f"its stages are: {', '.join(s.name for s in stages)}; "
            f"other runs: bodywork runs {plan.pipeline}",
        )
    return chosen


def _paths(parts: Parts, record: RunRecord, plan: Plan, stages: list[Stage]) -> Iterator[tuple[str, Path]]:
    """The log files that are there now, by stage and replica."""
    releases = _releases(parts, record, plan)
    for stage in stages:
        if stage.kind is Kind.BATCH:
            yield stage.name, parts.places.log(record.run, stage.object_name)
            continue
        folder = parts.places.service(record.pipeline, stage.name, releases[stage.name])
        for path in sorted(folder.glob("replica-*.log")):
            number = path.stem.removeprefix("replica-")
            source = stage.name if stage.service.replicas == 1 else f"{stage.name}/{number}"
            yield source, path


def _releases(parts: Parts, record: RunRecord, plan: Plan) -> dict[str, str]:
    """The run that started each service: an earlier one where this run left it as it was."""
    wanted = {planned.stage.name for planned in plan.stages if planned.stage.kind is Kind.SERVICE}
    releases = dict.fromkeys(wanted, record.run)
    for run in parts.history.runs(record.pipeline):
        if not wanted:
            break
        if run.run > record.run:
            continue
        for event in parts.history.events(run.run):
            if isinstance(event, StageStarted) and event.stage in wanted:
                releases[event.stage] = run.run
                wanted.discard(event.stage)
    return releases


def _goes_on(parts: Parts, run: str, stages: list[Stage]) -> bool:
    """Whether there may be more to read."""
    if any(stage.kind is Kind.SERVICE for stage in stages):
        return True
    return state_of(parts, parts.history.run(run)) is RunState.RUNNING
