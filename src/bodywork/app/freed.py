"""What a prune is to free, and what it has freed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bodywork.run.ledger import RunRecord
from bodywork.run.retention import Policy


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What may go. `pipeline` None: of all pipelines; `cache`: also what can be made again."""

    pipeline: str | None = None
    policy: Policy = field(default_factory=Policy)
    cache: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """Things of one kind, and how many bytes they take."""

    what: str
    count: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Freed:
    """What went, or would go; `left` says in sentences what was left alone, and why."""

    runs: tuple[RunRecord, ...]
    parts: tuple[Part, ...]
    left: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def document(self) -> dict[str, Any]:
        """As documented for `prune --output json`."""
        return {
            "runs": [{"run": one.run, "pipeline": one.pipeline} for one in self.runs],
            "freed": [{"what": part.what, "count": part.count, "bytes": part.size} for part in self.parts],
            "bytes": self.size,
            "left": list(self.left),
        }


def joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Each kind once."""
    found: dict[str, Part] = {}
    for part in parts:
        had = found.get(part.what, Part(what=part.what, count=0, size=0))
        found[part.what] = Part(what=part.what, count=had.count + part.count, size=had.size + part.size)
    return tuple(found.values())
