"""The uv program: where it is, the environment that it gets, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from bodywork import process
from bodywork.errors import MachineError
from bodywork.stage.installing import surroundings

QUIET = ("--no-progress", "--color", "never")
KEPT_OUTPUT = 256 * 1024
TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})


@dataclass(frozen=True, kw_only=True)
class Uv:
    """uv with a fixed environment. `offline`: it may not use the network."""

    program: str
    environment: Mapping[str, str]
    offline: bool
    downloads: bool

    @classmethod
    def found(cls, environment: Mapping[str, str], *, offline: bool, downloads: bool) -> Uv:
        """The uv that bodywork was installed with. Raises MachineError when it is gone."""
        try:
            program = uv.find_uv_bin()
        except FileNotFoundError as error:
            raise MachineError(
                "the program uv, which installs packages, is missing",
                hint="install bodywork again, or uv beside it: `pip install --force-reinstall uv`",
            ) from error
        return cls(
            program=program,
            environment=surroundings(environment),
            offline=offline or environment.get("UV_OFFLINE", "").lower() in TRUE,
            downloads=downloads and environment.get("UV_PYTHON_DOWNLOADS", "automatic") in ("automatic", ""),
        )

    def command(self, *arguments: str, offline: bool | None = None) -> list[str]:
        """The whole command line; `offline` None: as this uv is set."""
        without_network = self.offline if offline is None else offline
        return [self.program, *arguments, *QUIET, *(["--offline"] if without_network else [])]

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**self.environment, **(more or {})}

    async def run(
        self, *arguments: str, cwd: Path, offline: bool | None = None, more: Mapping[str, str] | None = None
    ) -> process.Completed:
        """Run to the end, however it ends."""
        return await process.run_async(
            self.command(*arguments, offline=offline), cwd=cwd, env=self.variables(more), check=False
        )

    async def follow(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        more: Mapping[str, str],
        started: Callable[[str], object],
        progress: Callable[[str], None],
    ) -> tuple[int, str]:
        """Run a command and pass each line on as it appears; its code and what it printed.

        `started` is told the identity of the process. A cancelled wait ends it and its children.
        """
        child = process.Process.start(command, cwd=cwd, env=self.variables(more))
        output = b""
        try:
            started(process.identity(child.pid) or "")
            async for chunk in child.chunks():
                output = (output + chunk)[-KEPT_OUTPUT:]
                for line in filter(str.strip, chunk.decode(errors="replace").splitlines()):
                    progress(line.strip())
            ended = await child.wait()
        finally:
            if child.running:
                await child.end(grace=1.0)
        return (1 if ended.code is None else ended.code), output.decode(errors="replace")
