"""Where artifacts of runs on this machine are kept: the folder of this machine, or what a project names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from bodywork.artifacts.address import SECRET, Address
from bodywork.artifacts.base import Keeping, Kept, Store, unguarded
from bodywork.artifacts.fallback import Fallback
from bodywork.artifacts.files import FileStore
from bodywork.artifacts.turns import Turns
from bodywork.errors import BodyworkError, NotFoundError, UnreachableError, UsageError
from bodywork.run.plan import Plan

if TYPE_CHECKING:
    from bodywork.app.home import Home
    from bodywork.holdings import Holdings
    from bodywork.secret import Secrets

PATIENCE = 120.0
"""Seconds for which a run waits for a store that is away."""
READING = 30.0
IMPATIENCE = 5.0
"""Seconds to wait before anything has begun."""


class Stores:
    """Opens stores by their addresses; None is this machine's own."""

    def __init__(self, home: Home, holdings: Holdings, secrets: Secrets, ours: Mapping[str, str]) -> None:
        self._home = home
        self._holdings = holdings
        self._secrets = secrets
        self._ours = ours
        self._turns = Turns(home.artifact_turns)

    def of_run(self, plan: Plan) -> Store:
        """The store of a run, which also finds what earlier runs have put elsewhere.

        What is put there counts as used from then on, before it is written down.
        """
        address = plan.project.store
        if address is not None:
            self._holdings.remember_store(address)
        return self._with_others(self.open(address, keeping=partial(self._keeping, plan.run)), address)

    def to_read(self, plan: Plan, *, patience: float = READING) -> Store:
        """The same for somebody who waits for an answer, and puts nothing there."""
        address = plan.project.store
        return self._with_others(self.open(address, patience=patience), address, patience)

    def open(self, address: str | None, *, keeping: Keeping = unguarded, patience: float = PATIENCE) -> Store:
        """The store at an address. Raises UsageError, and MachineError without the client library."""
        if address is None:
            return FileStore(self._home.artifacts, keeping=keeping)
        parsed = Address.parse(address)
        if parsed.scheme == "file":
            from bodywork.artifacts.bucket import FOLDER

            root = Path(parsed.prefix) / FOLDER / self._home.owner
            hint = "it is what `store:` in bodywork.yaml names: let yourself write there, or name another"
            return FileStore(root, keeping=keeping, hint=hint)
        from bodywork.artifacts.bucket import BucketStore
        from bodywork.artifacts.objects import ObjectStore

        objects = ObjectStore(parsed, self._variables(), patience=patience)
        return BucketStore(objects, self._home.owner, turns=self._turns, keeping=keeping)

    def all(self) -> Iterator[str | None]:
        """The addresses of all stores that may hold something of this machine's."""
        yield None
        yield from self._holdings.stores()

    def sweep(self, store: Store, unreached: Iterable[Kept]) -> Iterator[Kept]:
        """Remove what nothing on record reaches, but for what a run in progress counts on."""
        turns: dict[str, list[Kept]] = {}
        for one in unreached:
            turns.setdefault(self._turns.name(one.digest), []).append(one)
        with ThreadPoolExecutor(8) as pool:
            for removed in pool.map(partial(self._remove, store), turns.values()):
                yield from removed

    def _remove(self, store: Store, unreached: Sequence[Kept]) -> list[Kept]:
        """Those that share a turn, together."""
        with self._turns.removing(unreached[0].digest) as alone:
            going = [one for one in unreached if alone and not self._holdings.claimed(one.digest)]
            if going:
                store.remove(*(one.digest for one in going))
        return going

    def _variables(self) -> Mapping[str, str]:
        """With what the secret holds, else as the clouds' own tools here would open it."""
        try:
            keys = self._secrets.keys(SECRET)
        except NotFoundError:
            return self._ours
        return {key: self._secrets.read(SECRET, key) for key in keys}

    def _with_others(self, first: Store, address: str | None, patience: float = READING) -> Store:
        def others() -> Iterator[Store]:
            return (self.open(other, patience=patience) for other in self.all() if other != address)

        return Fallback(first, others)

    @contextmanager
    def _keeping(self, run: str, digest: str) -> Iterator[None]:
        with self._turns.putting(digest):
            self._holdings.claim(run, digest)
            yield


def lacks(stores: Stores, plan: Plan, *, writing: bool) -> str:
    """What the artifacts of a plan need and is not there, as a sentence with a next step; "": nothing.

    Raises UnreachableError. With `writing`, a mark is put into the store to see whether it takes it.
    """
    needed = any(one.stage.outputs or one.stage.inputs for one in plan.all_stages)
    if plan.project.store is None or not needed:
        return ""
    try:
        store = stores.open(plan.project.store, patience=IMPATIENCE)
        store.check(writing=writing and any(one.stage.outputs for one in plan.all_stages))
    except UnreachableError:
        raise
    except UsageError as error:
        return in_words(error)
    return ""


def sizes(store: Store, digests: Collection[str]) -> dict[str, int | None]:
    """The sizes of artifacts; of none any more once a store does not answer."""
    away = Event()

    def size(digest: str) -> tuple[str, int | None] | None:
        try:
            return None if away.is_set() else (digest, store.size(digest))
        except BodyworkError:
            away.set()
            return None

    with ThreadPoolExecutor(8) as pool:
        return dict(filter(None, pool.map(size, digests)))


def in_words(error: BodyworkError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
