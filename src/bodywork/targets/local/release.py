"""A release of a service: its definition and its replicas, which come and go together."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bodywork.targets.local.backend import Backend
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.happening import Happening, State
from bodywork.targets.local.premises import Premises
from bodywork.targets.local.record import ReleaseRecord
from bodywork.targets.local.replica import Replica, release_folder


class Release:
    """The replicas of one definition. `record` is of an earlier agent, whose processes may still run."""

    def __init__(
        self,
        definition: Definition,
        premises: Premises,
        tell: Callable[[Replica, Happening], object],
        record: ReleaseRecord | None = None,
    ) -> None:
        self.definition = definition
        self._premises = premises
        token = uuid.uuid4().hex[:8]
        folder = release_folder(premises.home, definition)
        known = {replica.number: replica for replica in record.replicas} if record else {}
        self.replicas = [
            Replica(
                definition,
                number,
                Path(known[number].folder) if number in known else folder / f"files-{token}-{number}",
                premises,
                tell,
            )
            for number in range(1, definition.replicas + 1)
        ]
        self.adopted = [r for r in self.replicas if r.number in known and r.adopt(known[r.number])]

    @property
    def record(self) -> ReleaseRecord:
        return ReleaseRecord(definition=self.definition, replicas=tuple(r.record for r in self.replicas))

    @property
    def ready(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.state is State.READY]

    @property
    def gone(self) -> bool:
        return all(replica.state is State.ENDED for replica in self.replicas)

    @property
    def backends(self) -> list[Backend]:
        """The ready replicas, for the proxy."""
        return [replica.backend for replica in self.ready if replica.backend is not None]

    @property
    def reason(self) -> str:
        """What keeps it from being ready, of the first replica that is not."""
        for replica in self.replicas:
            if replica.state is not State.READY and replica.reason:
                only = len(self.replicas) == 1
                return replica.reason if only else f"replica {replica.number}: {replica.reason}"
        return ""

    def launch(self) -> None:
        """Start those that do not run."""
        for replica in self.replicas:
            replica.launch()

    def end(self, *, keep: bool = False) -> None:
        """End all of them, now."""
        for replica in self.replicas:
            replica.end(keep=keep)

    def drain(self, *, after: float, cut: float, keep: bool = False) -> None:
        """End each replica when its last connection has gone, at the latest `after` seconds from now.

        What is left is closed after `cut` seconds.
        """
        for replica in self.replicas:
            backend = replica.backend
            if backend is None or not backend.fronts:
                replica.end(keep=keep)
                continue
            self._premises.later(after, partial(replica.end, keep=keep))
            self._premises.later(cut, backend.cut)
            backend.on_drained(partial(self._premises.decide, partial(replica.end, keep=keep)))
            backend.drain()
