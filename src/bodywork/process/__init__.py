"""The one door to subprocesses: short commands, and stages that run in a session of their own."""

from bodywork.process.command import CommandError, Completed, CompletedBytes, run, run_async, run_bytes
from bodywork.process.identity import (
    GRACE,
    alive,
    end_identities,
    identity,
    kill_group,
)
from bodywork.process.orphans import adopt_orphans, end_orphans, marked
from bodywork.process.session import Exit, Process, start_detached

__all__ = [
    "GRACE",
    "CommandError",
    "Completed",
    "CompletedBytes",
    "Exit",
    "Process",
    "adopt_orphans",
    "alive",
    "end_identities",
    "end_orphans",
    "identity",
    "kill_group",
    "marked",
    "run",
    "run_async",
    "run_bytes",
    "start_detached",
]
