"""Writing the events of one run, each once and each in its place, whoever else tries to.

The lease lets one command write at a time, but one that was cut off for a while may not know yet
that another has taken its run over. So each event is written only into exactly what this command
has read or written before (`resourceVersion`): the second to write under a number is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bodywork.errors import BusyError
from bodywork.run.events import Event
from bodywork.run.ledger import Release, RunRecord
from bodywork.targets.kubernetes import entries, run_objects
from bodywork.targets.kubernetes.api import AlreadyThereError, Api, ConflictError
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, Object


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
        self._one_by_one = asyncio.Lock()

    async def add(self, event: Event, release: Release | None = None) -> None:
        """Write an event, the release that it makes and what follows for the run's record.

        An end is written before the record has it, and a new beginning after: of a record that
        says `running`, the last event tells whether that still is so. Raises BusyError when
        another command has written to the run.
        """
        async with self._one_by_one:
            before, self._record = self._record, run_objects.following(self._record, event)
            changed = self._record != before
            texts = {entries.event_key(self._number + 1): run_objects.encode_short(event)}
            if release is not None:
                texts["release"] = run_objects.encode_release(release)
            if changed and not self._record.state.ended:
                await self._write_first({})
            await self._write(texts)
            self._number += 1
            if self._last is not self._main and self._record.state.ended:
                texts.pop(entries.event_key(self._number))
                await self._write_first(texts)

    async def _write(self, texts: Mapping[str, str]) -> None:
        """Add texts to the last object, or to a new one when it is full."""
        if not entries.full(self._last):
            if self._last is self._main:
                await self._write_first(texts)
            else:
                self._last = await self._add(self._last, entries.packed(texts))
            return
        new = run_objects.chunk(self._main, self._chunks + 1, texts)
        try:
            self._last = await self._api.create(new)
        except AlreadyThereError:
            self._last = await self._same(new, new)
        self._chunks += 1

    async def _write_first(self, texts: Mapping[str, str]) -> None:
        """Add texts to the first object, together with the record as it now is."""
        is_last = self._last is self._main
        plain = {"record": run_objects.encode_record(self._record)}
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
        """The object as it is in the cluster, which must be as `obj`, with `parts` or without."""
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        now = await self._api.get(CONFIG_MAP, name, namespace)
        before = entries.contents(obj)
        if now is None or entries.contents(now) not in (before, before | entries.contents(parts)):
            raise taken_over(self._record)
        return now


def _holds(obj: Object, parts: Object) -> bool:
    return entries.contents(parts).items() <= entries.contents(obj).items()


def taken_over(record: RunRecord) -> BusyError:
    return BusyError(
        f"another command has taken run {record.run} of {record.pipeline} over: its record in the"
        " cluster has changed since this command last wrote to it",
        hint=f"see what it does: bodywork status {record.pipeline}",
    )
