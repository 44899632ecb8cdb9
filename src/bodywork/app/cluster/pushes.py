"""Whether a branch has moved since it was last seen, and whose it is to run that: decided once.

The commit that was seen and the firing that it leads to are one write to the schedule's ConfigMap, which
counts only if nothing else has been written there since it was read. A pod that is lost:

before that write: nothing has happened; the next one finds the branch moved.
after it: the firing is there without an end. The next pod of the Job goes on with it, or, when the
    Job is gone as well, the next Job does; unless there is a run, which a person may resume.
after the end is written: the next pod of the Job finds that, and has nothing to do.

Whatever keeps a run from beginning, the commit is owed one: who looks next tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bodywork.app.cluster.keeping import newest_first
from bodywork.app.cluster.order import Order
from bodywork.app.cluster.site import ClusterSite
from bodywork.app.parts import Parts
from bodywork.app.site import Holder, Site
from bodywork.errors import BodyworkError, NotFoundError
from bodywork.schedule import told
from bodywork.schedule.firing import Cause, Firing, tried_again, tried_before
from bodywork.spec.model import Overlap
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.records import firings

Tip = Callable[[], str]
"""The commit at which the branch is now. Blocks; raises the errors of git."""


async def claimed(parts: Parts, order: Order, tip: Tip) -> Firing | None:
    """The push that this pod is to carry out; None: nothing is new, or it has to wait."""
    name = order.definition.name
    async with ClusterSite(parts, order.where) as site:
        while (book := await firings.book(site.api, name, order.namespace)) is not None:
            rows = [told.decode(text) for text in firings.documents_of(book).values()]
            mine = own(rows, order.job)
            if mine is not None:
                return None if mine.state.ended else mine
            for row in left(rows):
                if not await _has_run(site, row):
                    return replace(row, process=order.job, at=time.time())
            moved = await _moved(site, order, book, tip)
            if moved is None:
                return None
            push = order.push(moved, time.time())
            known = firings.said_of(book, firings.TIP)
            documents = {told.key_of(push): told.encode(push)} if known else {}
            if await firings.claim(site.api, book, moved, documents):
                return push if known else None
    return None


def own(rows: Sequence[Firing], job: str) -> Firing | None:
    """What an earlier pod of the same Job has claimed."""
    return next((row for row in rows if row.cause is Cause.PUSH and row.process == job), None)


def left(rows: Sequence[Firing]) -> list[Firing]:
    """Pushes without an end. Whoever claimed them is gone: only one Job at a time looks."""
    return [row for row in rows if row.cause is Cause.PUSH and not row.state.ended]


def conclusion(
    book: Object, firing: Firing, deployed: str | None
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """What is to be written of the end of a firing: documents, and what is said of the branch.

    `deployed` is the commit that a push has run: the branch may have moved on since it was looked at.
    """
    key, text = told.key_of(firing), told.encode(firing)
    if firing.cause is not Cause.PUSH:
        return {key: text}, {}
    if firing.run:
        seen = {firings.TIP: deployed} if deployed else {}
        return {key: text}, {**seen, firings.OWED: None, firings.TROUBLE: None}
    earlier = [row for row in newest_first(book) if told.key_of(row) < key]
    if (before := tried_before(earlier, firing)) is None:
        return {key: text}, {firings.TROUBLE: tried_again(firing)}
    one_line = replace(firing, due=before.due, at=before.at)
    documents = {key: None, told.key_of(one_line): told.encode(one_line)}
    return documents, {firings.TROUBLE: tried_again(firing)}


async def in_progress(site: Site, pipeline: str) -> Holder | None:
    """The run of a pipeline that is in progress, if there has been any yet."""
    known = await site.records.runs(pipeline, limit=1)
    return await site.holder(pipeline) if known else None


async def _moved(site: ClusterSite, order: Order, book: Object, tip: Tip) -> str | None:
    """Where the branch is, if that is news, and if it is to be run now.

    While a run is in progress it may move on: it is looked at again after that.
    """
    trouble = firings.said_of(book, firings.TROUBLE)
    try:
        found = await asyncio.to_thread(tip)
    except BodyworkError as error:
        if error.message != trouble:
            await _say(site, order, error.message)
        return None
    if found == firings.said_of(book, firings.TIP) and found != firings.said_of(book, firings.OWED):
        if trouble:
            await _say(site, order, None)
        return None
    replaces = order.definition.rule.overlap is Overlap.REPLACE
    busy = None if replaces else await in_progress(site, order.definition.pipeline)
    return found if busy is None else None


async def _say(site: ClusterSite, order: Order, trouble: str | None) -> None:
    said = {firings.TROUBLE: trouble}
    await firings.say(site.api, order.definition.name, order.namespace, said)


async def _has_run(site: ClusterSite, row: Firing) -> bool:
    try:
        await site.records.run(row.run)
    except NotFoundError:
        return False
    return True
