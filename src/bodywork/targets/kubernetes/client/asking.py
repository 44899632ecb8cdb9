"""Single requests to the API server: asked again while that may help, and whole lists of many pages."""

from __future__ import annotations

import json
from asyncio import Event
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2

from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.answers import ExpiredError, error_of, not_kubernetes, status_of
from bodywork.targets.kubernetes.client.connection import Connection, Request
from bodywork.targets.kubernetes.client.incluster import IN_CLUSTER
from bodywork.targets.kubernetes.client.outage import Outage
from bodywork.targets.kubernetes.client.retries import Answer, ask
from bodywork.targets.kubernetes.kinds import Kind, Object

_PAGE = "500"  # objects for each request of a list
FIRST = 10.0


@dataclass(frozen=True, kw_only=True)
class Listed:
    """All objects of a list, and the version from which a watch goes on."""

    items: list[Object]
    version: str


@dataclass(frozen=True, kw_only=True)
class Asking:
    """`patience`: seconds for which a server that is away or overloaded is asked again.

    One that has never answered is asked for `FIRST` seconds: its address may be wrong. Who is in the
    cluster has an address that is right.
    """

    connection: Connection
    access: Access
    outage: Outage
    patience: float
    _known: Event = field(default_factory=Event)

    async def answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        content: Object | None = None,
        content_type: str = "application/json",
        *,
        patience: float | None = None,
    ) -> Answer:
        """Whatever the server says. Raises UnreachableError, and what the user's credentials raise."""
        request = Request(
            method=method,
            path=path,
            params=params or {},
            content=None if content is None else json.dumps(content, separators=(",", ":")).encode(),
            content_type=content_type,
        )

        async def once() -> httpx2.Response:
            return await self.connection.send(request)

        wait = self.patience if patience is None else patience
        if not self._known.is_set() and self.access.context != IN_CLUSTER:
            wait = min(wait, FIRST)
        answer = await ask(once, access=self.access, patience=wait, outage=self.outage)
        self._known.set()
        return answer

    def object(self, answer: Answer, doing: str) -> Object:
        """What the answer holds. Raises what its status says; `doing` is what was asked for, in words."""
        if not answer.response.is_success:
            raise error_of(status_of(answer.response), doing, self.access)
        try:
            found: Object = json.loads(answer.response.content)
        except ValueError as error:
            raise not_kubernetes(self.access) from error
        return found

    async def listed(
        self,
        kind: Kind,
        namespace: str | None,
        selection: Mapping[str, str],
        *,
        patience: float | None = None,
        most: int | None = None,
    ) -> Listed:
        """All pages, or one with `most` of them. When the next one has expired meanwhile, all begins anew, in
        one piece.
        """
        params = {**selection, "limit": _PAGE if most is None else str(most)}
        items: list[Object] = []
        while True:
            answer = await self.answer("GET", kind.path(namespace), params, patience=patience)
            try:
                page = self.object(answer, f"list {kind.all(namespace)}")
            except ExpiredError:
                items, params = [], dict(selection)
                continue
            # the items of a list do not say what they are; a cluster with none may say null
            found = page["items"] or []
            items += ({"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in found)
            following = page["metadata"].get("continue")
            if not following or most is not None:
                return Listed(items=items, version=page["metadata"]["resourceVersion"])
            params = {**selection, "limit": _PAGE, "continue": following}
