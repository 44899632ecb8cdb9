"""Secrets that people keep in a namespace for stages, and that bodywork wrote for them.

A Secret that somebody else made, or bodywork for its own use, is never changed. All keys of a secret
are keys of one Secret, so that a pod sees those of one moment.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from bodywork.errors import NotFoundError, UsageError
from bodywork.secret import Entry
from bodywork.secret.names import check_key, check_name
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api, ConflictError
from bodywork.targets.kubernetes.kinds import SECRET, Object
from bodywork.targets.kubernetes.manifests.source import CONTENT
from bodywork.targets.kubernetes.manifests.variables import name_in_cluster

KEPT = "secret"
MINE = {labels.MANAGED_BY: labels.MANAGER, CONTENT: KEPT}
SECRET_NAME = f"{labels.PREFIX}secret"
GROUP = f"{labels.PREFIX}secrets-group"
CHANGED = f"{labels.PREFIX}changed"
"""An annotation: when each key was changed, in seconds since the epoch, as JSON."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
TRIES = 5


def checked(secret: str, group: str | None, keys: Iterable[str] = ()) -> str:
    """The name of its Secret. Raises UsageError for what cannot be a name there."""
    check_name(secret)
    if group:
        check_name(group, "group")
    for key in keys:
        check_key(key)
    name = name_in_cluster(secret, group)
    if not NAME.fullmatch(name) or len(name) > 253:
        raise UsageError(
            f"{name!r} cannot be the name of a Secret in a cluster",
            hint='such names have lower-case letters, digits, "-" and "."',
        )
    return name


@dataclass(frozen=True, kw_only=True)
class KeptSecrets:
    """Those of one namespace; of all that may be seen, when it is None and nothing is changed."""

    api: Api
    namespace: str | None

    async def entries(self) -> list[Entry]:
        """All of them, by namespace, group and name; never a value."""
        found = [_entry(one) for one in await self.api.list(SECRET, self.namespace, labels=MINE)]
        return sorted(found, key=lambda one: (one.namespace or "", one.group or "", one.name))

    async def keys(self, secret: str, key: str | None, group: str | None) -> list[str]:
        """The keys that a secret has, or just `key`. Raises NotFoundError when there is no such."""
        there = await self._own(checked(secret, group, [key] if key else ()))
        keys = sorted(there.get("data") or {}) if there else []
        if keys and key is None:
            return keys
        if key in keys:
            return [str(key)]
        what = f"secret {secret} has no key {key}" if keys else f"there is no secret {secret}"
        within = f" in group {group}" if group else ""
        raise NotFoundError(
            f"{what}{within} in namespace {self.namespace}",
            hint=f"see: bodywork secret list --target kubernetes --namespace {self.namespace}",
        )

    async def set(
        self, secret: str, values: Mapping[str, str], group: str | None, *, now: float
    ) -> dict[str, bool]:
        """Set keys, all at once; others of the secret stay. Returns which, and whether each was there."""
        name = checked(secret, group, values)
        for _ in range(TRIES):
            there = await self._own(name)
            with suppress(ConflictError, AlreadyThereError):  # somebody else was quicker: look again
                if there is None:
                    await self.api.create(self._new(name, secret, group, values, now))
                else:
                    await self._change(there, {key: _encoded(value) for key, value in values.items()}, now)
                had = (there or {}).get("data") or {}
                return {key: key in had for key in values}
        raise UsageError(f"secret {name} is being changed by others all the time", hint="try again")

    async def delete(self, secret: str, key: str | None, group: str | None, *, now: float) -> list[str]:
        """Delete a key, or all of them; returns which. Raises NotFoundError."""
        name = checked(secret, group)
        for _ in range(TRIES):
            gone = await self.keys(secret, key, group)
            there = await self._own(name)
            with suppress(ConflictError):
                if there is not None and set(there.get("data") or {}) - set(gone):
                    await self._change(there, dict.fromkeys(gone), now)
                elif there is not None:
                    await self.api.delete(SECRET, name, self.namespace, uid=there["metadata"]["uid"])
                return gone
        raise UsageError(f"secret {name} is being changed by others all the time", hint="try again")

    async def _own(self, name: str) -> Object | None:
        """The Secret of that name. Raises UsageError when it is somebody else's."""
        there = await self.api.get(SECRET, name, self.namespace)
        if there is not None and not is_kept(there):
            raise UsageError(
                f"Secret {name} in namespace {self.namespace} was not made by `bodywork secret set`, "
                "and is left as it is",
                hint=f"choose another name, or change it yourself: "
                f"kubectl -n {self.namespace} edit secret {name}",
            )
        return there

    async def _change(self, there: Object, data: Mapping[str, str | None], now: float) -> None:
        metadata = there["metadata"]
        times = {**_times(there), **{key: None if one is None else now for key, one in data.items()}}
        kept = {key: at for key, at in times.items() if at is not None}
        change = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {CHANGED: json.dumps(kept, sort_keys=True)},
            },
            "data": dict(data),
        }
        await self.api.patch(SECRET, metadata["name"], self.namespace, change)

    def _new(
        self, name: str, secret: str, group: str | None, values: Mapping[str, str], now: float
    ) -> Object:
        said = {SECRET_NAME: secret, CHANGED: json.dumps(dict.fromkeys(sorted(values), now))}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": MINE,
                "annotations": {**said, **({GROUP: group} if group else {})},
            },
            "type": "Opaque",
            "data": {key: _encoded(value) for key, value in sorted(values.items())},
        }


def is_kept(secret: Object) -> bool:
    """Whether `bodywork secret set` made it."""
    said = secret["metadata"].get("labels") or {}
    return all(said.get(name) == value for name, value in MINE.items())


def _entry(secret: Object) -> Entry:
    metadata = secret["metadata"]
    said = metadata.get("annotations") or {}
    times = _times(secret)
    return Entry(
        name=said.get(SECRET_NAME, metadata["name"]),
        group=said.get(GROUP),
        keys={key: times.get(key, 0.0) for key in sorted(secret.get("data") or {})},
        namespace=metadata["namespace"],
    )


def _times(secret: Object) -> dict[str, float]:
    said = (secret["metadata"].get("annotations") or {}).get(CHANGED, "{}")
    with suppress(ValueError, TypeError, AttributeError):
        return {str(key): float(at) for key, at in json.loads(said).items()}
    return {}


def changes(secret: Object) -> dict[str, float]:
    """When each key of a Secret was changed; of one that others made, when any was."""
    if is_kept(secret):
        return _times(secret)
    metadata = secret["metadata"]
    times = [one["time"] for one in metadata.get("managedFields") or () if one.get("time")]
    last = max([metadata["creationTimestamp"], *times])
    return dict.fromkeys(secret.get("data") or {}, datetime.fromisoformat(last).timestamp())


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
