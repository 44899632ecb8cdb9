"""The hosts file of a pipeline: names of its services, for the hook to resolve.

One line a name: `name address`, and where the service could not have a loopback address of its
own, a third field `declared_port:listen_port`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, order=True)
class Host:
    """One name of a service, and where the agent listens for it."""

    name: str
    address: str
    declared: int
    port: int

    @property
    def line(self) -> str:
        moved = "" if self.port == self.declared else f" {self.declared}:{self.port}"
        return f"{self.name} {self.address}{moved}"


def hosts_path(home: Path, pipeline: str) -> Path:
    """Where the hosts file of a pipeline is, if it has any services."""
    return home / "services" / pipeline / "hosts"


def write_hosts(path: Path, hosts: Iterable[Host]) -> None:
    """Replace the file in one go; without hosts there is none."""
    lines = [host.line for host in sorted(hosts)]
    if not lines:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name("hosts.new")
    fresh.write_text("".join(f"{line}\n" for line in lines))
    fresh.replace(path)
