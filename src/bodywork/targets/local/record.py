"""The stored state of a service: what should run, and what of it ran when it was written.

One JSON document for each service in the store; the next agent takes it from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from bodywork.targets.local.definition import Definition

FORM = 1


class ServiceStore(Protocol):
    """Where documents of services are kept: one for each pipeline and stage."""

    def services(self) -> list[tuple[str, str, str]]: ...

    def put_service(self, pipeline: str, stage: str, document: str) -> None: ...

    def drop_service(self, pipeline: str, stage: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ReplicaRecord:
    """A replica: `identity` of its process (empty: none), its own port, where it answers, its folder."""

    number: int
    identity: str
    port: int
    host: str
    answers: int
    folder: str


@dataclass(frozen=True, kw_only=True)
class ReleaseRecord:
    """A definition and its replicas."""

    definition: Definition
    replicas: tuple[ReplicaRecord, ...]

    def data(self) -> dict[str, Any]:
        return {
            "definition": self.definition.data(),
            "replicas": [asdict(replica) for replica in self.replicas],
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> ReleaseRecord:
        return cls(
            definition=Definition.of(data["definition"]),
            replicas=tuple(ReplicaRecord(**replica) for replica in data["replicas"]),
        )


@dataclass(frozen=True, kw_only=True)
class ServiceRecord:
    """A service: its address, what serves, what a rollout was starting, and what was on its way out."""

    address: str | None
    current: ReleaseRecord | None
    candidate: ReleaseRecord | None
    leaving: tuple[ReleaseRecord, ...] = ()

    def encode(self) -> str:
        return json.dumps(
            {
                "form": FORM,
                "address": self.address,
                "current": self.current and self.current.data(),
                "candidate": self.candidate and self.candidate.data(),
                "leaving": [release.data() for release in self.leaving],
            }
        )

    @classmethod
    def decode(cls, text: str) -> ServiceRecord:
        """The inverse of `encode`. Raises ValueError, KeyError or TypeError for anything else."""
        data = json.loads(text)
        if data["form"] != FORM:
            raise ValueError(f"a document of form {data['form']}, not {FORM}")
        return cls(
            address=data["address"],
            current=ReleaseRecord.of(data["current"]) if data["current"] else None,
            candidate=ReleaseRecord.of(data["candidate"]) if data["candidate"] else None,
            leaving=tuple(ReleaseRecord.of(release) for release in data["leaving"]),
        )
