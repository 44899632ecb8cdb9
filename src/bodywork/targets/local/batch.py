"""One attempt of a batch stage: a process, its log file and what it leaves as outputs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bodywork.errors import StageError
from bodywork.process import Exit, Process, end_orphans, identity
from bodywork.spec.model import Stage
from bodywork.targets.base import Began, Ended, Exited, Printed, Sign, Waiting
from bodywork.targets.local.masked import masked
from bodywork.targets.local.unsent import Unsent
from bodywork.targets.local.variables import artifact_variable

QUICK = 2.0
"""Seconds in which outputs are kept, as a rule."""
ANOTHER = b"-- another attempt --\n"
"""Stands in the log file of a stage between what two attempts have printed."""


class Attempt:
    """A started batch stage. `outputs` is the folder in which it writes what it declares."""

    def __init__(
        self,
        stage: Stage,
        process: Process,
        *,
        log: Path,
        outputs: Path,
        unsent: Unsent,
        marks: frozenset[str],
        hidden: tuple[str, ...] = (),
    ) -> None:
        self.stage = stage
        self._hidden = hidden
        self._marks = marks
        self.process = process
        self.key = identity(process.pid) or f"{process.pid}:gone"
        self._log = log
        self._outputs = outputs
        self._unsent = unsent

    @classmethod
    def start(
        cls,
        stage: Stage,
        command: tuple[str, ...],
        *,
        folder: Path,
        variables: Mapping[str, str],
        log: Path,
        outputs: Path,
        unsent: Unsent,
        hidden: tuple[str, ...] = (),
    ) -> Attempt:
        """Start the process in `folder`; nothing shows the `hidden` values of what it prints.

        Raises StageError when that is not possible.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            process = Process.start(command, cwd=folder, env=variables)
        except OSError as error:
            raise StageError(f"{command[0]} could not be started: {error.strerror}") from error
        marks = frozenset(f"{name}={variables[name]}" for name in ("BODYWORK_RUN", "BODYWORK_STAGE"))
        return cls(stage, process, log=log, outputs=outputs, unsent=unsent, marks=marks, hidden=hidden)

    async def watch(self) -> AsyncIterator[Sign]:
        """Its signs, from `Began` to `Ended`; what it prints is written to the log file first."""
        yield Began(key=self.key)
        chunks = self.process.chunks()
        if self._hidden:
            chunks = masked(chunks, self._hidden)
        with self._log.open("ab", buffering=0) as log:
            if log.tell():
                log.write(ANOTHER)
            async for chunk in chunks:
                rest = memoryview(chunk)
                while rest:  # a disk that is nearly full takes a part
                    rest = rest[log.write(rest) :]
                yield Printed(text=chunk.decode(errors="replace"))
        exit_ = await self.process.wait()
        yield Exited()
        self.end_children()
        ending = asyncio.ensure_future(self._ended(exit_))
        if not (await asyncio.wait({ending}, timeout=QUICK))[0]:
            yield Waiting(reason="its outputs are put into the store")
        yield await ending

    def end_children(self) -> None:
        """End what the stage has left behind, in its session or out of it."""
        self.process.end_children()
        end_orphans(self._marks, self.process.pid)

    async def _ended(self, exit_: Exit) -> Ended:
        outputs: dict[str, str] = {}
        reason = "" if exit_.ok else exit_.sentence
        if exit_.ok and self.stage.outputs:
            outputs, reason = await asyncio.to_thread(self._collect)
        return Ended(
            ok=not reason,
            reason=reason,
            exit_code=exit_.code,
            outputs=outputs,
            peak_memory=exit_.peak_memory,
            cpu_seconds=exit_.cpu_seconds,
        )

    def _collect(self) -> tuple[dict[str, str], str]:
        """Put the declared outputs into the store; the sentence is not empty when one is missing."""
        for output in self.stage.outputs:
            if not (self._outputs / output.file).exists():
                return {}, (
                    f"exited with 0, but did not write its output {output.name}: "
                    f"the stage has to write it to the path in ${artifact_variable('OUTPUT', output.name)}"
                )
        return self._unsent.send(self._outputs)
