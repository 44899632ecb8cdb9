"""What stages have printed on this machine: files that stay when the run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bodywork.app.records import Records
from bodywork.app.site import Chunk
from bodywork.run.events import StageStarted
from bodywork.run.ledger import RunRecord
from bodywork.run.plan import Plan
from bodywork.spec.model import Kind, Stage

if TYPE_CHECKING:
    from bodywork.targets.local.places import Places

POLL = 0.2
"""Seconds between two looks at a log file that is followed."""


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


async def follow_files(
    places: Places,
    records: Records,
    record: RunRecord,
    plan: Plan,
    stages: Sequence[Stage],
    goes_on: Callable[[RunRecord], Awaitable[bool]],
    follow: bool,
) -> AsyncGenerator[Chunk, None]:
    """The output of stages, in their order; with `follow`, as long as `goes_on` says that there may be more.

    A service may always print more.
    """
    files: dict[Path, _File] = {}
    releases = await _releases(records, record, plan)

    def fresh() -> Iterator[Chunk]:
        for source, path in _paths(places, record, stages, releases):
            yield from files.setdefault(path, _File(source, path)).read()

    for chunk in fresh():
        yield chunk
    while follow and (_any_service(stages) or await goes_on(record)):
        await asyncio.sleep(POLL)
        releases = await _releases(records, record, plan) if _any_service(stages) else releases
        for chunk in fresh():
            yield chunk
    for chunk in fresh():
        yield chunk
    for file in files.values():
        for chunk in file.end():
            yield chunk


def _any_service(stages: Sequence[Stage]) -> bool:
    return any(stage.kind is Kind.SERVICE for stage in stages)


def _paths(
    places: Places, record: RunRecord, stages: Sequence[Stage], releases: dict[str, str]
) -> Iterator[tuple[str, Path]]:
    """The log files that are there now, by stage and replica."""
    for stage in stages:
        if stage.kind is Kind.BATCH:
            yield stage.name, places.log(record.run, stage.object_name)
            continue
        folder = places.service(record.pipeline, stage.name, releases[stage.name])
        for path in sorted(folder.glob("replica-*.log")):
            number = path.stem.removeprefix("replica-")
            source = stage.name if stage.service.replicas == 1 else f"{stage.name}/{number}"
            yield source, path


async def _releases(records: Records, record: RunRecord, plan: Plan) -> dict[str, str]:
    """The run that started each service: an earlier one where this run left it as it was."""
    wanted = {planned.stage.name for planned in plan.stages if planned.stage.kind is Kind.SERVICE}
    releases = dict.fromkeys(wanted, record.run)
    for run in await records.runs(record.pipeline) if wanted else ():
        if not wanted:
            break
        if run.run > record.run:
            continue
        for event in await records.events(run.run):
            if isinstance(event, StageStarted) and event.stage in wanted:
                releases[event.stage] = run.run
                wanted.discard(event.stage)
    return releases
