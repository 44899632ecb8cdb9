"""How commands talk to the agent: JSON, one object a line, over a unix socket in `$BODYWORK_HOME/agent`.

A command sends one ask, `{"version": ..., "ask": ...}`, and gets one answer, or for a rollout a line
for each sign. An agent of another version answers `status` and `stop`, and refuses the rest in words.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bodywork import __version__
from bodywork.errors import MachineError
from bodywork.targets.local.definition import Definition

VERSION = __version__
LIMIT = 64 * 1024 * 1024
"""Longest line, in bytes."""

LONGEST_PATH = 100
"""Bytes; the system allows 104 to 108 for the path of a socket."""


@dataclass(frozen=True, kw_only=True)
class AgentStatus:
    """The agent itself. `started` is seconds since the epoch; `memory` is its resident size in bytes."""

    pid: int
    watchdog: int | None
    started: float
    version: str
    services: int
    schedules: int = 0
    memory: int | None = None
    watchdog_memory: int | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> AgentStatus:
        """From what an agent of any version answers."""
        return cls(**{each.name: data[each.name] for each in fields(cls) if each.name in data})


@dataclass(frozen=True, kw_only=True)
class ReplicaStatus:
    """One replica. `address` is where it answers; `reason` what is wrong with it, or empty."""

    number: int
    pid: int | None
    state: str
    restarts: int
    address: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """One service. `state` is ready, starting, degraded (some replicas), failing (none), or being removed."""

    definition: Definition
    url: str
    ready: int
    replicas: tuple[ReplicaStatus, ...]
    state: str
    reason: str

    def data(self) -> dict[str, Any]:
        return {
            **asdict_flat(self),
            "definition": self.definition.data(),
            "replicas": [asdict(replica) for replica in self.replicas],
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> ServiceStatus:
        return cls(
            definition=Definition.of(data["definition"]),
            url=data["url"],
            ready=data["ready"],
            replicas=tuple(ReplicaStatus(**replica) for replica in data["replicas"]),
            state=data["state"],
            reason=data["reason"],
        )


def asdict_flat(status: ServiceStatus) -> dict[str, Any]:
    """The plain fields of a status."""
    return {name: getattr(status, name) for name in ("url", "ready", "state", "reason")}


def line(message: Mapping[str, Any]) -> bytes:
    """A message as it goes over the socket."""
    return json.dumps(message).encode() + b"\n"


def agent_folder(home: Path) -> Path:
    """The agent's own files: socket, locks, log."""
    return home / "agent"


def log_path(home: Path) -> Path:
    """What the agent has to say, and what it says when it dies."""
    return agent_folder(home) / "agent.log"


def stopped_marker(home: Path) -> Path:
    """Present when the agent has left on purpose: nobody starts it again but a command."""
    return agent_folder(home) / "stopped"


def make_folder(folder: Path) -> Path:
    """A folder that only this user can look into. Raises MachineError when somebody else could."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise MachineError(
            f"{folder} is not a folder of this user",
            hint="remove it, or set BODYWORK_HOME to a folder with a shorter path",
        )
    if about.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def socket_path(home: Path) -> Path:
    """Where the agent of `home` listens; its folder is made.

    A path that is too long for a socket is replaced by one in a folder of this user among the
    temporary ones. Raises MachineError when that folder is not ours alone, and OSError.
    """
    path = make_folder(agent_folder(home)) / "agent.sock"
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return make_folder(base / f"bodywork-{os.getuid()}") / f"{name}.sock"
