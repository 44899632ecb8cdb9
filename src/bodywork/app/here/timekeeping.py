"""The agent's hands for schedules: what firing needs of this machine, and the agent with all of it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from bodywork.app.execution import new_run
from bodywork.app.here.lock import holder
from bodywork.app.here.site import NAME
from bodywork.app.parts import Parts
from bodywork.errors import NotFoundError
from bodywork.process import Process, alive
from bodywork.run.clock import SystemClock
from bodywork.run.states import RunState
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Firing, State
from bodywork.schedule.timekeeper import Clock, Timekeeper
from bodywork.targets.local.pace import Pace
from bodywork.targets.local.premises import log

SAID = re.compile(r"^(?:error: )?(.+)$")
UNKNOWN = "a run"


async def be_the_agent(parts: Parts, *, pace: Pace | None = None, clock: Clock | None = None) -> None:
    """Look after the services and schedules of this home; returns when there is nothing to do."""
    from bodywork.targets.local.agent import serve

    keeper = Timekeeper(parts.book, HandsHere(parts=parts), clock or SystemClock(), log)
    await serve(parts.home.state, parts.history, pace=pace, schedules=keeper)


@dataclass(frozen=True, kw_only=True)
class HandsHere:
    """`Hands` on this machine: a firing is a command in a process of its own."""

    parts: Parts

    def new_run(self) -> str:
        return new_run()

    def busy(self, pipeline: str) -> str:
        held = holder(self.parts.home.pipeline_lock(NAME, pipeline))
        return "" if held is None else held.run or UNKNOWN

    def tip(self, definition: Definition) -> str:
        from bodywork.app.git_access import GitAccess, git_for  # the agent needs git for pushes only

        access = GitAccess(ssh_key=definition.ssh_key, secret=definition.git_secret)
        git = git_for(self.parts, access, definition.repository)
        return git.tip(definition.repository, definition.ref)

    def alive(self, process: str) -> bool:
        return alive(process)

    def outcome(self, run: str) -> tuple[State, str] | None:
        try:
            record = self.parts.history.run(run)
        except NotFoundError:
            return None
        if record.state is RunState.RUNNING:
            return State.INTERRUPTED, f"its command was killed; go on with: bodywork resume {record.pipeline}"
        return State(str(record.state)), record.reason

    async def carry_out(self, firing: Firing) -> str:
        """The process is no child's child of ours: it has a session of its own, and outlives us."""
        path = self.parts.home.firing_log(firing.schedule, firing.number)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [sys.executable, "-m", "bodywork", "firing", str(firing.number)]
        environment = {**os.environ, "BODYWORK_HOME": str(self.parts.home.state)}
        with path.open("ab") as output:
            process = Process.start(command, cwd=Path("/"), env=environment, output=output)
        await process.wait()
        return await asyncio.to_thread(_last_words, path)


def _last_words(path: Path) -> str:
    """The last line that is no hint, of what a command has printed."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if not line.startswith("hint:")]
    found = SAID.match(lines[-1]) if lines else None
    return found[1] if found else ""
