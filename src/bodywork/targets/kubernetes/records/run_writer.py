"""Writing the events of one run, each once and each in its place, whoever else tries to.

The lease lets one command write at a time, but one that was cut off for a while may not know yet
that another has taken its run over. So each event is written only into exactly what this command
has read or written before (`resourceVersion`): the second to write under a number is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from bodywork.errors import BodyworkError, BusyError
from bodywork.run.events import Event
from bodywork.run.ledger import Release, RunRecord
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api, ConflictError
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, Object
from bodywork.targets.kubernetes.records import entries, run_objects


@dataclass
class _Entry:
    event: Event
    release: Release | None
    written: bool = False


class RunWriter:
    """The record of one run, for the command that carries it out.

    `objects` are the first object and those of later events, as they were just made or read.
    """

    def __init__(self, api: Api, objects: list[Object], target: str) -> None:
        self._api = api
        self._main, self._last = objects[0], objects[-1]
        self._record = run_objects.record_of(self._main, target)
        self._chunks = len(objects) - 1
        self._number = sum(len(entries.event_keys(obj)) for obj in objects)
        self._waiting: list[_Entry] = []
        self._one_by_one = asyncio.Lock()
        self._noting: asyncio.Task[None] | None = None

    async def add(self, event: Event, release: Release | None = None) -> None:
        """Write an event, the release that it makes and what follows for the run's record.

        Events that come while another is being written go into the next request together, in
        their order. One that could not be written (UnreachableError) may have been, all the same:
        it goes with the next one. Raises BusyError when another command has written to the run.
        """
        entry = next((one for one in self._waiting if one.event == event), None)
        if entry is None:
            entry = _Entry(event, release)
            self._waiting.append(entry)
        async with self._one_by_one:
            while not entry.written:
                await self._write_next()

    def note(self, event: Event) -> None:
        """Write an event soon, together with what comes meanwhile: before the next `add` returns.

        What goes wrong with that goes wrong again, and is raised, there.
        """
        self._waiting.append(_Entry(event, None))
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._write_noted())

    async def _write_noted(self) -> None:
        with suppress(BodyworkError):
            async with self._one_by_one:
                while self._waiting:
                    await self._write_next()

    async def _write_next(self) -> None:
        """Write an event by which the run's record changes, or all before the next such event."""
        first = self._waiting[0]
        record = run_objects.following(self._record, first.event)
        if record is not self._record:
            await self._turn(record, first)
            done = [first]
        else:
            texts = self._plain_events()
            await self._write(texts, record)
            done = self._waiting[: len(texts)]
        self._record = record
        self._number += len(done)
        del self._waiting[: len(done)]
        for entry in done:
            entry.written = True

    def _plain_events(self) -> dict[str, str]:
        """By key, the next events that leave the record as it is: no more than go into one object."""
        texts: dict[str, str] = {}
        for number, entry in enumerate(self._waiting, self._number + 1):
            ends = run_objects.following(self._record, entry.event) is not self._record
            if ends or sum(map(len, texts.values())) > entries.FULL:
                break
            texts[entries.event_key(number)] = run_objects.encode_short(entry.event)
        return texts

    async def _turn(self, record: RunRecord, entry: _Entry) -> None:
        """Write an end or a new beginning.

        An end is written before the record has it, and a new beginning after: of a record that
        says `running`, the last event tells whether that still is so.
        """
        texts, made = {entries.event_key(self._number + 1): run_objects.encode_short(entry.event)}, {}
        if entry.release is not None:
            made = {"release": run_objects.encode_release(entry.release)}
        if not record.state.ended:
            await self._write_first({}, record)
        await self._write({**texts, **made}, record)
        if record.state.ended and self._last is not self._main:
            await self._write_first(made, record)

    async def _write(self, texts: Mapping[str, str], record: RunRecord) -> None:
        """Add texts to the last object, or to a new one when it is full."""
        if not entries.full(self._last):
            if self._last is self._main:
                await self._write_first(texts, record)
            else:
                self._last = await self._add(self._last, entries.packed(texts))
            return
        new = run_objects.chunk(self._main, self._chunks + 1, texts)
        try:
            self._last = await self._api.create(new)
        except AlreadyThereError:
            found = await self._same({**new, "data": {}, "binaryData": {}}, new)
            self._last = await self._add(found, entries.packed(texts))
        self._chunks += 1

    async def _write_first(self, texts: Mapping[str, str], record: RunRecord) -> None:
        """Add texts to the first object, together with the record as it then is."""
        is_last = self._last is self._main
        plain = {run_objects.WRITTEN: run_objects.encode_record(record)}
        self._main = await self._add(self._main, entries.packed(texts, plain=plain))
        if is_last:
            self._last = self._main

    async def _add(self, obj: Object, parts: Object) -> Object:
        """Write keys into an object that holds just what `obj` does."""
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        while True:
            change = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, **parts}
            try:
                return await self._api.patch(CONFIG_MAP, name, namespace, change)
            except ConflictError:
                # An answer may have been lost, or somebody has changed a label.
                now = await self._same(obj, parts)
                if _holds(now, parts):
                    return now
                obj = now

    async def _same(self, obj: Object, parts: Object) -> Object:
        """The object as it is in the cluster: as `obj`, with all of `parts`, with some or with none."""
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        now = await self._api.get(CONFIG_MAP, name, namespace)
        if now is None or not _may_become(
            entries.contents(obj), entries.contents(parts), entries.contents(now)
        ):
            raise taken_over(self._record)
        return now


def _holds(obj: Object, parts: Object) -> bool:
    return entries.contents(parts).items() <= entries.contents(obj).items()


def _may_become(before: Mapping[str, str], added: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether what is there now came about by nothing but writing some of `added`."""
    known = before.keys() <= now.keys()
    return known and all(now[key] in (before.get(key), added.get(key)) for key in now)


def taken_over(record: RunRecord) -> BusyError:
    return BusyError(
        f"another command has taken run {record.run} of {record.pipeline} over: its record in the"
        " cluster has changed since this command last wrote to it",
        hint=f"see what it does: bodywork status {record.pipeline}",
    )
