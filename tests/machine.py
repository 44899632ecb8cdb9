"""A machine with an agent whose time a test tells, and whose power it cuts.

Real are the agent, its processes and services; only the clock is the test's own.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bodywork.app.parts import Parts
from bodywork.process import start_detached
from bodywork.schedule.firing import Firing, State
from tool import Tool, wait_for

PROGRAM = Path(__file__).with_name("agent_by_file.py")


@dataclass
class Machine:
    """`clock` is the file in which its time stands; `schedule` the one that it has."""

    tool: Tool
    clock: Path
    schedule: str

    def start(self) -> None:
        with (self.clock.parent / "agent.log").open("ab") as log:
            start_detached(
                [sys.executable, str(PROGRAM), str(self.clock)], cwd=Path("/"), env=self.tool.env, output=log
            )
        wait_for(lambda: self.tool.good("agent", "status", "-o", "json").json["running"])

    def at(self, moment: float) -> None:
        self.clock.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(str(moment))
        fresh.replace(self.clock)

    def cut_power(self) -> None:
        """Everything dies at once: agent, watchdog, deploy, stages and services."""
        pids = self.tool.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        wait_for(lambda: not self.tool.processes())

    def history(self) -> list[dict[str, Any]]:
        """Oldest first."""
        asked = self.tool.good("schedule", "history", self.schedule, "--limit", "100", "-o", "json")
        found: list[dict[str, Any]] = asked.json
        return found[::-1]

    def until(self, due: datetime, *, running: bool = False) -> Firing:
        """Let it become that time, and wait until what is due then has ended, or is running.

        It is the database that is asked, since a command for each look takes most of a small machine.
        """
        self.at(due.timestamp() + 1)
        book = Parts(self.tool.env).book

        def told() -> Firing | None:
            wanted = [one for one in book.firings(self.schedule) if one.due == due.timestamp()]
            there = wanted and (wanted[0].state.ended or (running and wanted[0].state is State.RUNNING))
            return wanted[0] if there else None

        found: Firing = wait_for(told, seconds=180)
        return found


def stamp(due: datetime) -> str:
    return due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
