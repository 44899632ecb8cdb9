"""Processes that another agent started: adopted while they run, ended when nobody knows them.

Every process of a service carries `BODYWORK_AGENT_HOME`, so that one which was started in the moment
its agent died, before it was written down, is found by the next agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Collection
from pathlib import Path

from bodywork.process import alive, identity, kill_group

MARK = "BODYWORK_AGENT_HOME"


class Adopted:
    """A running process that is not our child. Raises ProcessLookupError when it is gone."""

    def __init__(self, key: str) -> None:
        self.pid = int(key.partition(":")[0])
        self._key = key
        self._gone = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        if not self._watch_pidfd():
            self._task = asyncio.get_running_loop().create_task(self._poll())
        if not alive(key):
            raise ProcessLookupError(key)

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


def end_strays(home: Path, known: Collection[str]) -> list[int]:
    """Kill the groups of processes that carry this home's mark and belong to no known leader.

    `known` are identities. Looks through /proc; elsewhere nothing is found.
    """
    mark = f"{MARK}={home}".encode()
    groups = {key.partition(":")[0] for key in known if alive(key)}
    ended: set[int] = set()
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                group = os.getpgid(int(entry.name))
                if str(group) in groups or group == os.getpgrp():
                    continue
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    ended.add(group)
    for group in ended:
        kill_group(group)
    return sorted(ended)


def name_of(pid: int) -> str:
    """The identity of a process that was just started; one that matches none if it has ended."""
    return identity(pid) or f"{pid}:gone"
