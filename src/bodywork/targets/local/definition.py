"""What a service is: plain frozen data that the agent stores as JSON and compares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One release of one service: all that is needed to start its replicas, today and in a year.

    `release` is the run that rolled it out. `parts` are digests by part (files, packages,
    settings), opaque here. `folder` is a pristine copy of the project's files; each replica works
    in a copy of its own, in `working_directory` below it. `variables` is the whole environment of
    a replica but for what the agent adds. `secrets` are pairs of a variable and the path of the
    file with its value, read at each start and never stored. `health` is an HTTP path that must
    answer below 400; None: a TCP connection is enough. `hook` is the path of the hook module.
    """

    pipeline: str
    stage: str
    release: str
    commit: str
    fingerprint: str
    command: tuple[str, ...]
    folder: str
    port: int
    replicas: int = 1
    inputs: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "."
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[tuple[str, str], ...] = ()
    health: str | None = None
    host_names: tuple[str, ...] = ()
    hook: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Pipeline and stage: what there is one service of."""
        return self.pipeline, self.stage

    def data(self) -> dict[str, Any]:
        """The JSON-able form."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Definition:
        """The inverse of `data`, also after a way through JSON. Keys it does not know are passed over."""
        known = {each.name: data[each.name] for each in fields(cls) if each.name in data}
        known["command"] = tuple(known["command"])
        known["host_names"] = tuple(known.get("host_names", ()))
        known["secrets"] = tuple((variable, path) for variable, path in known.get("secrets", ()))
        return cls(**known)

    def encode(self) -> str:
        """JSON text with sorted keys: equal definitions have equal texts."""
        return json.dumps(self.data(), sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Definition:
        """The inverse of `encode`. Raises ValueError, KeyError or TypeError for anything else."""
        return cls.of(json.loads(text))
