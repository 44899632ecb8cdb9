"""The side of the commands: starting the agent, asking it, and hearing what it does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bodywork.errors import BodyworkError, UnreachableError
from bodywork.process import alive, identity, start_detached
from bodywork.targets.base import Began, Ended, Printed, Sign
from bodywork.targets.local.adoption import MARK
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.guard import HANDED, take_lock
from bodywork.targets.local.hosts import hosts_path
from bodywork.targets.local.protocol import (
    LIMIT,
    VERSION,
    AgentStatus,
    ServiceStatus,
    agent_folder,
    line,
    log_path,
    make_folder,
    socket_path,
    stopped_marker,
)
from bodywork.targets.local.record import ServiceStore
from bodywork.targets.local.wanted import stored

START = 10.0
"""Seconds that an agent has to answer after its start."""

STOP = 40.0
ANSWER = 10.0
STARTS = 3
OURS = ("BODYWORK_CACHE", "BODYWORK_LOOPBACK")


class NoAgentError(UnreachableError):
    """No agent runs, or it went away before it answered."""


class AgentClient:
    """Asks the agent of `home`. `command` starts one, with BODYWORK_HOME in its environment.

    `store` opens what the agent writes down: which services are wanted while none runs.
    """

    def __init__(
        self,
        home: Path,
        *,
        command: Sequence[str] | None = None,
        store: Callable[[], ServiceStore] | None = None,
    ) -> None:
        self._home = home.absolute()
        self._store = store
        self._command = tuple(command or (sys.executable, "-m", "bodywork", "agent", "run"))

    def hosts_file(self, pipeline: str) -> Path:
        """The names of a pipeline's services, for the hook; there is none while there are no services."""
        return hosts_path(self._home, pipeline)

    async def ensure(self) -> None:
        """Start the agent when none runs, and wait until it answers.

        Raises UnreachableError when that takes longer than 10 s.
        """
        starts, deadline = 0, asyncio.get_running_loop().time() + START
        while await self.status() is None:
            if asyncio.get_running_loop().time() > deadline:
                raise self._not_started()
            if starts < STARTS and self._start():
                starts += 1
            await asyncio.sleep(0.02)

    async def status(self) -> AgentStatus | None:
        """None: not running. Answered by agents of other versions too: compare `version`."""
        try:
            answer = await self._ask("status")
        except NoAgentError:
            return None
        return AgentStatus.of(answer["status"])

    async def wake_schedules(self, *, start: bool = False) -> None:
        """Let the agent look at the schedules at once, if it runs; or, with `start`, in any case."""
        for _ in range(3):
            if start:
                await self.ensure()
            with contextlib.suppress(NoAgentError):  # it may just be leaving
                await self._ask("schedules")
                return

    async def services(self, pipeline: str | None = None) -> list[ServiceStatus]:
        """The services that the agent looks after, or would if it ran."""
        try:
            answer = await self._ask("services", pipeline=pipeline)
        except NoAgentError:
            return [] if self._store is None else stored(self._store(), pipeline)
        return [ServiceStatus.of(data) for data in answer["services"]]

    async def rollout(self, definition: Definition) -> AsyncGenerator[Sign, None]:
        """Replace a service, or add it; ends with `Ended`.

        Leaving earlier (close the iterator with `aclosing`) undoes it. When the agent dies in the
        middle it is asked again: the next one has undone the rollout, or it had been done.
        """
        for attempt in range(3):
            await self.ensure()
            try:
                async for sign in self._rollout(definition):
                    yield sign
                    if isinstance(sign, Ended):
                        return
            except NoAgentError:
                if attempt == 2:
                    raise

    async def _rollout(self, definition: Definition) -> AsyncGenerator[Sign, None]:
        async with contextlib.aclosing(self._lines("rollout", definition=definition.data())) as lines:
            async for message in lines:
                match message["sign"]:
                    case "began":
                        yield Began(key=message["text"])
                    case "printed":
                        yield Printed(text=message["text"])
                    case "ended":
                        yield Ended(ok=message["ok"], reason=message["reason"])
                        return
        raise NoAgentError("the agent ended during the rollout", hint=f"see {log_path(self._home)}")

    async def abort(self, pipeline: str, stage: str, release: str, *, reason: str = "") -> str:
        """Undo a rollout. Returns what kept it from being ready, as a clause; "" when there is none.

        `reason` becomes the reason of the rollout's `Ended`, with that clause after it.
        """
        try:
            answer = await self._ask("abort", pipeline=pipeline, stage=stage, release=release, reason=reason)
        except NoAgentError:
            return ""
        return str(answer["reason"])

    async def remove(self, pipeline: str, stages: Collection[str]) -> None:
        """Stop and forget services, letting requests finish for a few seconds."""
        if not stages:
            return
        if await self.status() is None:
            wanted = {service.definition.stage for service in await self.services(pipeline)}
            if wanted.isdisjoint(stages) and not self.hosts_file(pipeline).exists():
                return
            await self.ensure()  # it knows what is left of them
        await self._ask("remove", wait=STOP, pipeline=pipeline, stages=sorted(stages))

    async def stop(self) -> None:
        """End the agent and the processes of its services; a later `ensure` brings them back.

        Raises UnreachableError when it does not end.
        """
        status = await self.status()
        if status is None:
            if stopped_marker(self._home).exists() or not list(self._home.glob("services/*/hosts")):
                return
            await self.ensure()  # it died without anybody to start it: let its processes be ended
            status = await self.status()
        keys = [identity(pid) for pid in (status.pid, status.watchdog) if pid] if status else []
        with contextlib.suppress(NoAgentError):
            await self._ask("stop", wait=STOP)
        deadline = asyncio.get_running_loop().time() + START
        while any(key is not None and alive(key) for key in keys):
            if asyncio.get_running_loop().time() > deadline:
                raise UnreachableError("the agent does not end", hint=f"see {log_path(self._home)}")
            await asyncio.sleep(0.02)

    # The socket

    async def _ask(self, ask: str, *, wait: float = ANSWER, **arguments: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(wait), contextlib.aclosing(self._lines(ask, **arguments)) as lines:
                async for message in lines:
                    return message
        except TimeoutError:
            raise UnreachableError(
                f"the agent did not answer {ask} within {wait:g} s", hint=f"see {log_path(self._home)}"
            ) from None
        raise NoAgentError("the agent went away before it answered")

    async def _lines(self, ask: str, **arguments: Any) -> AsyncGenerator[dict[str, Any], None]:
        """Ask, and give what is answered line by line. Raises NoAgentError when nobody listens."""
        try:
            if not agent_folder(self._home).is_dir():
                raise NoAgentError("no agent runs")
            path = socket_path(self._home)
            reader, writer = await asyncio.open_unix_connection(path, limit=LIMIT)
        except OSError as error:
            raise NoAgentError("no agent runs") from error
        try:
            writer.write(line({"version": VERSION, "ask": ask, **arguments}))
            await writer.drain()
            while text := await reader.readline():
                yield self._checked(json.loads(text))
        except ConnectionError as error:
            raise NoAgentError("the agent went away") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @staticmethod
    def _checked(message: dict[str, Any]) -> dict[str, Any]:
        if "error" in message:
            raise UnreachableError(message["error"], hint=message.get("hint"))
        return message

    # Starting

    def _start(self) -> bool:
        """Start an agent unless somebody else is at it: who has the lock hands it to the agent."""
        try:
            folder = make_folder(agent_folder(self._home))
            lock = take_lock(folder / "agent.lock")
        except OSError as error:
            raise UnreachableError(
                f"the agent cannot be started: {error}",
                hint="set BODYWORK_HOME to a folder that can be written",
            ) from error
        if lock is None:
            return False
        try:
            with log_path(self._home).open("ab") as log:
                start_detached(
                    self._command, cwd=Path("/"), env=self._environment(lock), output=log, descriptors=(lock,)
                )
        except OSError as error:
            raise UnreachableError(f"the agent cannot be started: {error}") from error
        finally:
            os.close(lock)
        return True

    def _environment(self, lock: int) -> Mapping[str, str]:
        """Ours, but for what is meant for a stage, should a stage be calling."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BODYWORK_") or name in OURS
        }
        kept.pop(MARK, None)
        return {**kept, "BODYWORK_HOME": str(self._home), HANDED: str(lock)}

    def _not_started(self) -> BodyworkError:
        said = ""
        with contextlib.suppress(OSError):
            said = "\n".join(log_path(self._home).read_text(errors="replace").splitlines()[-5:])
        return UnreachableError(
            f"the agent did not start within {START:g} s" + (f"; its last words:\n{said}" if said else ""),
            hint=f"see {log_path(self._home)}",
        )
