"""The states of a replica, and what can happen to it. Imports nothing of bodywork.

waiting ──> starting ──> ready <──> unready
   ▲            │          │           │
   └────────────┴──────────┴───────────┘   its process has ended by itself
ending ──> ended                           from any of them, when asked to
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a replica stands. Only a ready one gets connections."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    ENDING = "ending"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Launched:
    """Its process runs."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Its process could not be started. `reason` is a clause."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Ready:
    """It answers, maybe at another address than before."""


@dataclass(frozen=True, kw_only=True)
class Unready:
    """It no longer answers."""


@dataclass(frozen=True, kw_only=True)
class Exited:
    """Its process has ended without being asked to. `reason`: `exited with 3`."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Gone:
    """It has ended as asked; nothing of it is left."""


Happening = Launched | Failed | Ready | Unready | Exited | Gone
