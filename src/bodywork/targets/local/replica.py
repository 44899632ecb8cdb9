"""One replica of a service: a process with a folder, a port and a log of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from bodywork.errors import MachineError, StageError, UsageError
from bodywork.process import Process, kill_group
from bodywork.secret import read_value
from bodywork.targets.local.address import LOCALHOST, free_port
from bodywork.targets.local.adoption import MARK, Adopted, end_escaped, name_of
from bodywork.targets.local.backend import Backend
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.happening import Exited, Failed, Gone, Happening, Launched, Ready, State, Unready
from bodywork.targets.local.hosts import hosts_path
from bodywork.targets.local.logfile import open_log
from bodywork.targets.local.masked import start_filter
from bodywork.targets.local.premises import Premises, log
from bodywork.targets.local.readiness import Readiness
from bodywork.targets.local.record import ReplicaRecord
from bodywork.targets.local.trees import copy_tree

LAST_LINES = 1.0
"""Seconds that the filter of a replica's log has, after the replica's end, to write what is left."""


class Replica:
    """`tell` is called with what happens to it. It decides nothing by itself."""

    def __init__(
        self,
        definition: Definition,
        number: int,
        folder: Path,
        premises: Premises,
        tell: Callable[[Replica, Happening], object],
    ) -> None:
        self.definition = definition
        self.number = number
        self.name = f"{definition.pipeline}/{definition.stage}/{definition.release}/{number}"
        self.folder = folder
        self.log = release_folder(premises.home, definition) / f"replica-{number}.log"
        self.state = State.WAITING
        self.reason = ""
        self.restarts = 0
        self.failures = 0
        self.ready_since: float | None = None
        self.was_ready = False
        self.backend: Backend | None = None
        self.identity = ""
        self.port = 0
        self.answers = (LOCALHOST, 0)
        self._premises = premises
        self._tell = tell
        self._process: Process | Adopted | None = None
        self._filter: Process | None = None
        self._life: asyncio.Task[None] | None = None
        self._readiness: Readiness | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def record(self) -> ReplicaRecord:
        return ReplicaRecord(
            number=self.number,
            identity=self.identity,
            port=self.port,
            host=self.answers[0],
            answers=self.answers[1],
            folder=str(self.folder),
        )

    def launch(self) -> None:
        """Start its process; then `Launched` and what follows, or `Failed`."""
        if self.state is State.WAITING:
            self.state = State.STARTING
            self.was_ready = False
            self._life = self._premises.do(self._live())

    def adopt(self, record: ReplicaRecord) -> bool:
        """Take over a process that still runs; False: it does not."""
        try:
            self._process = Adopted(record.identity)
        except (ProcessLookupError, ValueError):
            return False
        self.identity, self.port = record.identity, record.port
        self.answers = (record.host, record.answers)
        self._premises.ports.add(self.port)
        self.state = State.STARTING
        self.was_ready = True
        self._life = self._premises.do(self._attend(self._process))
        return True

    def end(self, *, keep: bool = False) -> None:
        """TERM, grace, KILL, for all its processes; then `Gone`. Its folder goes too unless `keep`."""
        if self.state in (State.ENDING, State.ENDED):
            return
        self.state = State.ENDING
        self._premises.do(self._ending(keep))

    def check(self) -> None:
        """Look at once whether it answers: somebody could not reach it."""
        if self._readiness is not None:
            self._readiness.check()

    async def _live(self) -> None:
        try:
            await asyncio.to_thread(self._make_folder)
            if self.state is not State.STARTING:
                return
            process = self._start()
        except (OSError, StageError, MachineError) as error:
            self._tell(self, Failed(reason=str(error)))
            return
        self._tell(self, Launched())
        await self._attend(process)

    async def _attend(self, process: Process | Adopted) -> None:
        """Watch it until it ends."""
        self._readiness = Readiness(self, self._premises, self._answered)
        loop = asyncio.get_running_loop()
        watching = (
            loop.create_task(self._readiness.watch()),
            loop.create_task(self._attend_filter(process.pid)),
        )
        try:
            exit_ = await process.wait()
        finally:
            for each in watching:
                each.cancel()
            self._readiness = None
        kill_group(process.pid)  # what it has left behind, also outside of its group
        await asyncio.to_thread(end_escaped, self._premises.home, self.port)
        if self._filter is not None:
            await asyncio.wait({asyncio.ensure_future(self._filter.wait())}, timeout=LAST_LINES)
            self._filter = None
        self._process = None
        self.identity = ""
        self._premises.ports.discard(self.port)
        self._premises.forget_astray(self.name)
        if self.state not in (State.ENDING, State.ENDED):
            self.state = State.WAITING
            self._tell(self, Exited(reason=exit_ if isinstance(exit_, str) else exit_.sentence))

    async def _attend_filter(self, pid: int) -> None:
        """A replica whose filter was killed is ended, to start again: what it prints leads nowhere."""
        if self._filter is not None and not (await self._filter.wait()).ok:
            log(f"{self.name}: the filter of its log has died")
            kill_group(pid)

    def _answered(self, ok: bool, reason: str) -> None:
        """What Readiness has found."""
        self.reason = reason
        if ok and self.state in (State.STARTING, State.UNREADY, State.READY):
            if self.state is not State.READY:
                self.ready_since = asyncio.get_running_loop().time()
            self.state, self.was_ready = State.READY, True
            self._tell(self, Ready())
        elif not ok and self.state is State.READY:
            self.state = State.UNREADY
            self._tell(self, Unready())

    async def _ending(self, keep: bool) -> None:
        life = self._life
        if self._process is None and life is not None:
            await asyncio.wait([life])  # its folder is still being made
        if self._process is not None and life is not None:
            kill_group(self._process.pid, signal.SIGTERM)
            await asyncio.wait([life], timeout=self._premises.pace.grace)
            if self._process is not None:
                kill_group(self._process.pid)
                await asyncio.wait([life], timeout=self._premises.pace.grace)
        if self.port:
            await asyncio.to_thread(end_escaped, self._premises.home, self.port)
        if not keep:
            await asyncio.to_thread(shutil.rmtree, self.folder, True)
        self.state = State.ENDED
        self._tell(self, Gone())

    def _make_folder(self) -> None:
        """A copy of the project's files of its own, whole or not at all."""
        if self.folder.exists():
            return
        if not Path(self.definition.folder).is_dir():
            raise StageError(f"its files are gone: there is no {self.definition.folder}")
        fresh = self.folder.with_name(f"{self.folder.name}.new")
        copy_tree(Path(self.definition.folder), fresh)
        fresh.rename(self.folder)

    def _start(self) -> Process:
        self.port = free_port(self._premises.ports)
        self.answers = (LOCALHOST, self.port)
        secrets = {variable: _secret(variable, Path(path)) for variable, path in self.definition.secrets}
        environment = self._environment(secrets)
        output = self._open_output(secrets)
        try:
            process = Process.start(
                self.definition.command,
                cwd=self.folder / self.definition.working_directory,
                env=environment,
                output=output,
            )
        finally:
            os.close(output)
        self._process = process
        self.identity = name_of(process.pid)
        self._premises.ports.add(self.port)
        return process

    def _open_output(self, secrets: Mapping[str, str]) -> int:
        """What the process prints to: its log file, or the filter before it. The caller closes it."""
        output = open_log(self.log)
        if not secrets:
            return output
        try:
            self._filter, writer = start_filter(output, secrets)
        finally:
            os.close(output)
        return writer

    def _environment(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """All variables of the process."""
        d, home = self.definition, self._premises.home
        hosts = self._premises.hosts(d.pipeline)
        own = {name: str(self.folder) for name, value in d.variables.items() if value == d.folder}
        return {
            **d.variables,
            **own,  # PYTHONPATH leads to the replica's own copy of the files
            **secrets,
            "PORT": str(self.port),
            "BODYWORK_HOOK": d.hook,
            "BODYWORK_HOOK_PORT": f"{d.port}:{self.port}",
            "BODYWORK_HOSTS": ",".join(f"{host.name}={host.address}" for host in hosts),
            "BODYWORK_HOSTS_FILE": str(hosts_path(home, d.pipeline)),
            "BODYWORK_PIPELINE": d.pipeline,
            "BODYWORK_STAGE": d.stage,
            "BODYWORK_RUN": d.release,
            "BODYWORK_REPLICA": str(self.number),
            MARK: str(home),
        }


def release_folder(home: Path, definition: Definition) -> Path:
    """Where the logs and folders of a release's replicas are."""
    return home / "services" / definition.pipeline / definition.stage / definition.release


def _secret(variable: str, path: Path) -> str:
    """The value as it is now. Raises StageError."""
    try:
        return read_value(path, variable)
    except UsageError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise StageError(
            f"the secret of variable {variable} cannot be read: {error.message}{hint}"
        ) from error
