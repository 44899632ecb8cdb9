"""Processes that another agent started: adopted while they run, ended when nobody knows them.

Every process of a service carries `BODYWORK_AGENT_HOME`, so that one which was started in the moment
its agent died, before it was written down, is found by the next agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from bodywork.process import alive, identity, kill_group

MARK = "BODYWORK_AGENT_HOME"
HOOK_PORT = b"BODYWORK_HOOK_PORT="


class Adopted:
    """A running process that is not our child. Raises ProcessLookupError when it is gone."""

    def __init__(self, key: str) -> None:
        if not alive(key):
            raise ProcessLookupError(key)
        self.pid = int(key.partition(":")[0])
        self._key = key
        self._gone = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        if not self._watch_pidfd():
            self._task = asyncio.get_running_loop().create_task(self._poll())

    async def wait(self) -> str:
        """Returns when it has ended. How, only its parent could know."""
        await asyncio.shield(self._gone)
        return "ended"

    def _watch_pidfd(self) -> bool:
        if sys.platform != "linux":
            return False
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return False
        asyncio.get_running_loop().add_reader(pidfd, self._ended, pidfd)
        return True

    def _ended(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        if not self._gone.done():
            self._gone.set_result(None)

    async def _poll(self) -> None:
        while alive(self._key):  # noqa: ASYNC110 - one that is not a child can only be looked at
            await asyncio.sleep(0.2)
        self._gone.set_result(None)


def end_strays(home: Path, ports: Collection[int]) -> list[int]:
    """Kill the groups of processes that carry this home's mark and none of the `ports` of known replicas.

    Returns the groups. Looks through /proc; elsewhere nothing is found.
    """
    strays = {group for group, port in _marked(home) if port not in ports}
    for group in strays:
        kill_group(group)
    return sorted(strays)


def end_escaped(home: Path, port: int) -> None:
    """Kill what a replica started in sessions of their own; `port` is the one that it was given."""
    for group, its in _marked(home):
        if its == port:
            kill_group(group)


def _marked(home: Path) -> Iterator[tuple[int, int]]:
    """The group of each process that carries the mark, and the port that its replica was given."""
    mark = f"{MARK}={home}".encode()
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError, ValueError):
                variables = (entry / "environ").read_bytes().split(b"\0")
                group = os.getpgid(int(entry.name))
                if mark in variables and group != os.getpgrp():
                    yield group, _port(variables)


def _port(variables: list[bytes]) -> int:
    """0 when there is none."""
    given = [variable for variable in variables if variable.startswith(HOOK_PORT)]
    return int(given[0].rpartition(b":")[2]) if given else 0


def name_of(pid: int) -> str:
    """The identity of a process that was just started; one that matches none if it has ended."""
    return identity(pid) or f"{pid}:gone"
