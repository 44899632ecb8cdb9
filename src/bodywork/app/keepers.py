"""Who keeps secrets, by target, and what `bodywork secret` does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bodywork.app.parts import Parts
from bodywork.app.sites import wanting_the_extra
from bodywork.app.times import rfc3339
from bodywork.app.where import LOCAL, Where
from bodywork.errors import UsageError
from bodywork.secret import Entry, parse, value_of


class Keeper(Protocol):
    """Where secrets of a target are kept. All raise UsageError for what is no name there."""

    def check(self, secret: str, key: str, group: str | None) -> None:
        """Only the names: before somebody is asked for a value."""
        ...

    def set(self, secret: str, values: Mapping[str, str], group: str | None) -> dict[str, bool]:
        """Set keys of a secret. Returns which, and whether there was a value before."""
        ...

    def users(self, secret: str, keys: Collection[str], group: str | None) -> list[str]:
        """The services that run with one of these keys, as `STAGE of PIPELINE`."""
        ...

    def entries(self) -> list[Entry]: ...

    def keys(self, secret: str, key: str | None, group: str | None) -> list[str]:
        """The keys that a secret has, or just `key`. Raises NotFoundError when there is no such."""
        ...

    def delete(self, secret: str, key: str | None, group: str | None) -> list[str]:
        """Delete a key, or all of them; returns which. Raises NotFoundError."""
        ...


def keeper(parts: Parts, where: Where) -> Keeper:
    """Who keeps the secrets of a target."""
    if where.kind == LOCAL:
        return KeeperHere(parts=parts)
    with wanting_the_extra():
        from bodywork.app.cluster.secrets import ClusterKeeper
    return ClusterKeeper(parts=parts, where=where)


@dataclass(frozen=True, kw_only=True)
class KeeperHere:
    """A `Keeper` whose secrets are files of this machine."""

    parts: Parts

    def check(self, secret: str, key: str, group: str | None) -> None:
        self.parts.secrets.path(secret, key, group)

    def set(self, secret: str, values: Mapping[str, str], group: str | None) -> dict[str, bool]:
        self.parts.home.make()
        had = {key: self.parts.secrets.has(secret, key, group) for key in values}
        self.parts.secrets.set(secret, values, group)
        return had

    def users(self, secret: str, keys: Collection[str], group: str | None) -> list[str]:
        paths = {str(self.parts.secrets.path(secret, key, group)) for key in keys}
        found = [one.definition for one in asyncio.run(self.parts.agent.services())]
        return [
            f"{one.stage} of {one.pipeline}"
            for one in sorted(found, key=lambda one: one.key)
            if any(path in paths for _, path in one.secrets)
        ]

    def entries(self) -> list[Entry]:
        return self.parts.secrets.entries()

    def keys(self, secret: str, key: str | None, group: str | None) -> list[str]:
        return self.parts.secrets.keys(secret, key, group)

    def delete(self, secret: str, key: str | None, group: str | None) -> list[str]:
        return self.parts.secrets.delete(secret, key, group)


def set_value(kept: Keeper, secret: str, key: str, data: bytes, group: str | None = None) -> dict[str, bool]:
    """Set one key; as `Keeper.set`. Raises UsageError for what is empty or no text."""
    if not data:
        raise UsageError(f"the value of {key} is empty: nothing was set")
    return kept.set(secret, {key: value_of(data, key)}, group)


def set_env_file(
    kept: Keeper, secret: str, data: bytes, file: str, group: str | None = None
) -> dict[str, bool]:
    """Set all keys of a file with KEY=VALUE lines, or none when one of its lines is wrong."""
    return kept.set(secret, parse(data, file), group)


def document(entry: Entry) -> dict[str, Any]:
    """A secret as `--output json` has it: never a value."""
    keys = [{"key": key, "changed": rfc3339(at)} for key, at in sorted(entry.keys.items())]
    where = {"namespace": entry.namespace} if entry.namespace else {}
    return {"name": entry.name, "group": entry.group, **where, "keys": keys}
