"""Which runs the schedules of a cluster keep: so many of their own each, however many others there are.

A namespace keeps the records of a pipeline's newest runs only. How many a schedule wants, and which they
are, is in its ConfigMap, where whoever ends a run finds it.
"""

from __future__ import annotations

from bodywork.schedule import told
from bodywork.schedule.firing import Firing, runs_beyond
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.records import firings


async def kept_by_schedules(api: Api, pipeline: str, namespace: str) -> set[str]:
    """The runs of a pipeline, given by its object name, that its schedules want to be kept."""
    books = await firings.books(api, pipeline, namespace)
    return set().union(*(_kept(book) for book in books))


def newest_first(book: Object) -> list[Firing]:
    known = firings.documents_of(book)
    return [told.decode(known[key]) for key in sorted(known, reverse=True)]


def _kept(book: Object) -> set[str]:
    """All but those beyond; none where nothing says how many."""
    rows, keep = newest_first(book), firings.said_of(book, firings.KEEP)
    return {row.run for row in rows if row.run} - runs_beyond(rows, int(keep)) if keep else set()
