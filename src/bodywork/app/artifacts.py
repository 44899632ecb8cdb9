"""What runs have made, who reads it, and getting one of it."""

from __future__ import annotations

import asyncio
import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from bodywork.app.parts import Parts
from bodywork.app.past import records_of
from bodywork.app.site import Site
from bodywork.app.sites import open_site
from bodywork.app.times import rfc3339
from bodywork.app.where import Where
from bodywork.artifacts.files import room_on
from bodywork.errors import NotFoundError, UsageError
from bodywork.run.events import Event, StageEnded, StageStarted
from bodywork.run.plan import ObservedService, Plan
from bodywork.run.states import StageState


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An output that a run has made; `size` in bytes, where that can be told.

    `readers` are stages that were started with it: `STAGE` of the same run, else `RUN/STAGE`.
    `serves` are services that read it now. `gone`: its store has it no more.
    """

    run: str
    stage: str
    output: str
    digest: str
    made: float
    size: int | None = None
    gone: bool = False
    readers: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.output}"

    def document(self) -> dict[str, Any]:
        """As documented for `artifacts --output json`."""
        return {
            "run": self.run,
            "stage": self.stage,
            "output": self.output,
            "digest": self.digest,
            "made": rfc3339(self.made),
            "size": self.size,
            "gone": self.gone,
            "readers": list(self.readers),
            "serves": list(self.serves),
        }


def artifacts(parts: Parts, where: Where, pipeline: str, limit: int) -> list[Artifact]:
    """What the newest runs of a pipeline have made, newest first. Raises NotFoundError."""

    async def work() -> list[Artifact]:
        async with open_site(parts, where) as site:
            records = [r for r in await records_of(site, pipeline, limit=limit) if r.target == site.name]
            found: list[Artifact] = []
            readers: dict[str, list[str]] = {}
            for record in records:
                plan, events = await site.records.plan(record.run), await site.records.events(record.run)
                made = list(_made(record.run, events))
                for digest, stage in _read(plan, events, {one.name: one.digest for one in made}):
                    readers.setdefault(digest, []).append(f"{record.run}/{stage}")
                found += await _with_sizes(site, plan, made)
            observed = await (await site.target(pipeline)).observe(pipeline)
            return [_with_readers(one, readers, observed) for one in found]

    return asyncio.run(work())


def get(parts: Parts, where: Where, run: str, name: str, to: Path | None, *, force: bool) -> Path:
    """Write artifact `name` (STAGE.NAME) of a run to `to`, whole or not at all; gives back where.

    `to` None: under the name of its file, here; a folder that is there: in it. Raises
    NotFoundError, UsageError for what is there already (without `force`), DamagedError.
    """

    async def work() -> Path:
        async with open_site(parts, where) as site:
            record = await site.records.run(run)
            plan = await site.records.plan(record.run)
            made = {one.name: one for one in _made(record.run, await site.records.events(record.run))}
            if name not in made:
                raise _not_made(record.run, name, list(made))
            path = _place(to, _file_name(plan, made[name]), force=force)
            with room_on(path.parent), tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as new:
                await site.fetch(plan, made[name].digest, Path(new, "artifact"))
                _put(Path(new, "artifact"), path, Path(new, "old"), force=force)
            return path

    return asyncio.run(work())


def _made(run: str, events: Sequence[Event]) -> Iterator[Artifact]:
    """Each output once: as it was when its stage succeeded."""
    ended = {e.stage: e for e in events if isinstance(e, StageEnded) and e.state is StageState.SUCCEEDED}
    for event in ended.values():
        for output, digest in event.outputs.items():
            yield Artifact(run=run, stage=event.stage, output=output, digest=digest, made=event.at)


def _read(plan: Plan, events: Sequence[Event], made: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Digests that stages which were started have read, with the stages."""
    started = {event.stage for event in events if isinstance(event, StageStarted)}
    for planned in plan.all_stages:
        for wanted in planned.stage.inputs if planned.stage.name in started else ():
            digest = made.get(f"{wanted.stage}.{wanted.output}") or planned.inputs.get(wanted.name)
            if digest:
                yield digest, planned.stage.name


async def _with_sizes(site: Site, plan: Plan, made: Sequence[Artifact]) -> list[Artifact]:
    sizes = await site.sizes(plan, {one.digest for one in made}) if made else {}
    return [
        replace(one, size=sizes.get(one.digest), gone=one.digest in sizes and sizes[one.digest] is None)
        for one in made
    ]


def _with_readers(
    one: Artifact, readers: Mapping[str, Sequence[str]], observed: Mapping[str, ObservedService]
) -> Artifact:
    names = [name.removeprefix(f"{one.run}/") for name in readers.get(one.digest, ())]
    serves = [name for name, service in observed.items() if one.digest in service.inputs.values()]
    return replace(one, readers=tuple(names), serves=tuple(sorted(serves)))


def _not_made(run: str, name: str, made: Sequence[str]) -> NotFoundError:
    near = difflib.get_close_matches(name, made, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    known = f"it has made: {', '.join(made)}" if made else "it has made nothing"
    return NotFoundError(f"run {run} has made no {name}{meant}", hint=known)


def _file_name(plan: Plan, artifact: Artifact) -> str:
    outputs = plan.stage(artifact.stage).stage.outputs
    return next(PurePosixPath(one.file).name for one in outputs if one.name == artifact.output)


def _place(to: Path | None, name: str, *, force: bool) -> Path:
    """Where it is to be written. Raises UsageError."""
    path = Path.cwd() / name if to is None else to / name if to.is_dir() else to
    path = path.absolute()
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", hint="make it, or name another place with --to")
    if os.path.lexists(path) and not force:
        raise _there(path)
    return path


def _put(new: Path, path: Path, old: Path, *, force: bool) -> None:
    """What stands there goes only when the new one is whole."""
    if os.path.lexists(path):
        if not force:  # it has come while we were busy
            raise _there(path)
        path.rename(old)
    new.rename(path)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)


def _there(path: Path) -> UsageError:
    return UsageError(f"{path} is there already", hint="--force writes over it; --to names another place")
