"""How fast the agent does things: all its times in one place, in seconds, so that tests can hurry it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds, unless said otherwise.

    probe_*: between looks at a replica that is starting (from first to later), that stopped
    answering, and that is well. elsewhere: after how long a replica's sockets are looked for, and
    how long a lone one on an undeclared port must have been there. restart_*: back-off of crashed
    replicas, forgotten after `healthy`. hold: how long a connection waits for a ready replica.
    drain: after it the old release gets TERM although connections are left; cut: after it those
    are closed. removal: the same for a service that is removed. grace: between TERM and KILL.
    leave: idle time after which the agent ends itself. parked: how long a client's connection is
    kept that has no replica behind it.
    """

    probe_first: float = 0.05
    probe_later: float = 1.0
    probe_well: float = 5.0
    probe_timeout: float = 5.0
    failures: int = 3
    look: float = 1.0
    elsewhere: float = 5.0
    restart_first: float = 0.1
    restart_most: float = 60.0
    healthy: float = 60.0
    connect: float = 5.0
    hold: float = 10.0
    drain: float = 25.0
    cut: float = 29.0
    removal: float = 5.0
    grace: float = 10.0
    leave: float = 5.0
    parked: float = 60.0
    tick: float = 1.0
    log_size: int = 10 * 1024 * 1024
    log_files: int = 3
