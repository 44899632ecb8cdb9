"""The agent's side of its socket: one session for each command that is connected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict
from typing import Any, Protocol

from bodywork.errors import BodyworkError
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.protocol import VERSION, AgentStatus, ServiceStatus, line
from bodywork.targets.local.rollout import Outcome, Report

ANY_VERSION = {"status", "stop"}


class Desk(Protocol):
    """What can be asked of the agent. All but the statuses may be called from its loop only (`decide`)."""

    ended: asyncio.Event

    def decide(self, decision: Callable[[], object]) -> None: ...
    def status(self) -> AgentStatus: ...
    def service_statuses(self, pipeline: str | None) -> list[ServiceStatus]: ...
    def begin(self, definition: Definition) -> Report: ...
    def abandon(self, definition: Definition, report: Report) -> None: ...
    def abort(self, pipeline: str, stage: str, release: str, reason: str) -> str: ...
    def remove(self, keys: Collection[tuple[str, str]], done: asyncio.Future[None]) -> None: ...
    def stop(self) -> None: ...
    def wake_schedules(self) -> None: ...


class Session:
    """Reads one ask and answers it."""

    def __init__(self, agent: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._agent = agent
        self._reader = reader
        self._writer = writer

    async def serve(self) -> None:
        """Until it is answered, or the command has gone."""
        try:
            if not (asked := await self._reader.readline()):
                return
            await self._answer(json.loads(asked))
        except ConnectionError:
            pass
        except BodyworkError as error:
            await self._send(error=error.message, hint=error.hint)
        except (ValueError, KeyError, TypeError) as error:
            await self._send(error=f"the agent does not understand: {error!r}")
        finally:
            self._writer.close()

    async def _answer(self, ask: dict[str, Any]) -> None:
        name = ask.get("ask", "")
        answers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "status": self._status,
            "stop": self._stop,
            "services": self._services,
            "rollout": self._rollout,
            "abort": self._abort,
            "remove": self._remove,
            "schedules": self._schedules,
        }
        if ask.get("version") != VERSION and name not in ANY_VERSION:
            await self._send(
                error=f"the agent that runs is of bodywork {VERSION}, this command of {ask.get('version')}",
                hint="`bodywork agent stop && bodywork agent start` brings this version; services restart",
            )
        elif name not in answers:
            await self._send(error=f"the agent does not know how to {name or 'answer that'}")
        else:
            await answers[name](ask)

    async def _send(self, **message: Any) -> None:
        self._writer.write(line({"version": VERSION, **message}))
        await self._writer.drain()

    async def _status(self, ask: dict[str, Any]) -> None:
        await self._send(status=asdict(self._agent.status()))

    async def _services(self, ask: dict[str, Any]) -> None:
        found = self._agent.service_statuses(ask.get("pipeline"))
        await self._send(services=[status.data() for status in found])

    async def _schedules(self, ask: dict[str, Any]) -> None:
        self._agent.decide(self._agent.wake_schedules)
        await self._send(woken=True)

    async def _stop(self, ask: dict[str, Any]) -> None:
        self._agent.decide(self._agent.stop)
        await self._agent.ended.wait()
        await self._send(stopped=True)

    async def _remove(self, ask: dict[str, Any]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        keys = [(ask["pipeline"], stage) for stage in ask["stages"]]
        self._agent.decide(lambda: self._agent.remove(keys, done))
        await done
        await self._send(removed=True)

    async def _abort(self, ask: dict[str, Any]) -> None:
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._agent.decide(
            lambda: said.set_result(
                self._agent.abort(ask["pipeline"], ask["stage"], ask["release"], ask.get("reason", ""))
            )
        )
        await self._send(reason=await said)

    async def _rollout(self, ask: dict[str, Any]) -> None:
        definition = Definition.of(ask["definition"])
        begun: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._agent.decide(lambda: begun.set_result(self._agent.begin(definition)))
        report = await begun
        telling = asyncio.ensure_future(self._tell(report))
        leaving = asyncio.ensure_future(self._reader.read(1))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                self._agent.decide(lambda: self._agent.abandon(definition, report))
            await asyncio.wait({telling}, timeout=60.0)
        finally:
            for task in (telling, leaving):
                task.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)

    async def _tell(self, report: Report) -> None:
        async for kind, value in report.signs():
            if isinstance(value, Outcome):
                await self._send(sign=kind, ok=value.ok, reason=value.reason)
            else:
                await self._send(sign=kind, text=value)
