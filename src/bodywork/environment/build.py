"""From a lock to a folder that is complete or not there at all.

An environment is made in a temporary folder beside its final place and renamed into it under a
file lock. A kill at any moment leaves only such a temporary folder, maybe with a uv that still
writes into it; whoever builds next ends the one and removes the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from bodywork import process
from bodywork.environment.bytecode import Bytecode
from bodywork.environment.exclusive import Turns, on_disk, take
from bodywork.environment.explain import Attempt, explain
from bodywork.environment.lock import Environment, Lock
from bodywork.environment.python import Interpreters
from bodywork.environment.resolve import date_options
from bodywork.environment.uv import Uv
from bodywork.environment.wheels import Wheels
from bodywork.errors import NotFoundError
from bodywork.stage.installing import HOOK, ROUNDS, SHOWN, file_name, sync_arguments, undated

NAME_LENGTH = 32
OWNER = "uv.process"


def ignore(line: str) -> None:
    """Progress that nobody watches."""


class Builder:
    """Builds environments below `folder`, each in a folder named by the digest of its lock."""

    def __init__(self, *, folder: Path, uv: Uv, interpreters: Interpreters, wheels: Wheels) -> None:
        self._folder = folder
        self._uv = uv
        self._interpreters = interpreters
        self._wheels = wheels
        self._bytecode = Bytecode(folder.parent / "bytecode")
        self._turns = Turns(folder / ".locks")

    def find(self, digest: str) -> Environment:
        """Raises NotFoundError when it is not built, or the Python it was built with is gone."""
        path = self._folder / digest[:NAME_LENGTH]
        python = path / "bin" / "python"
        if not python.exists():
            raise NotFoundError(
                f"the environment {digest[:12]} is not built in {self._folder}", hint="deploy to build it"
            )
        with contextlib.suppress(OSError):  # it is in use again: see `unused`
            os.utime(path)
        return Environment(path=path, python=python)

    def built(self, digest: str) -> bool:
        return (self._folder / digest[:NAME_LENGTH] / "bin" / "python").exists()

    async def build(self, lock: Lock, progress: Callable[[str], None]) -> Environment:
        """Raises MachineError, ResolutionError, UnreachableError."""
        if self.built(lock.digest):
            return self.find(lock.digest)
        name = lock.digest[:NAME_LENGTH]
        async with self._turns.turn(name):
            if not self.built(lock.digest):
                await asyncio.to_thread(self._sweep, name)
                await self._make(lock, name, progress)
        return self.find(lock.digest)

    async def _make(self, lock: Lock, name: str, progress: Callable[[str], None]) -> None:
        scratch = self._folder / f"{name}.{secrets.token_hex(4)}.tmp"
        python = await self._interpreters.find(lock.python)
        try:
            with on_disk(self._folder):
                scratch.mkdir(parents=True)
                await self._venv(lock, scratch, python.path)
                await self._install(lock, scratch, progress)
                progress("Compiling")
                if said := await self._bytecode.place(scratch / "env"):
                    raise explain(said, self._attempt(lock))
                place_hook(scratch / "env")
                replace(scratch / "env", self._folder / name, scratch / "old")
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _venv(self, lock: Lock, scratch: Path, python: str) -> None:
        said = await self._uv.run(
            "venv", "--relocatable", "--no-project", "--python", python, str(scratch / "env"), cwd=scratch
        )
        if said.code != 0:
            raise explain(said.stderr, self._attempt(lock))

    async def _install(self, lock: Lock, scratch: Path, progress: Callable[[str], None]) -> None:
        """Without network first: when uv's cache has all of it, the index need not be asked."""
        if not lock.text:
            return
        output = ""
        for offline in [True] if self._uv.offline else [True, False]:
            code, output = await self._sync(lock, scratch, progress, offline=offline, dated=True)
            if code == 0:
                return
        # A project's own lock may name what is newer than its commit says.
        if lock.as_of is None and lock.build_as_of and not self._uv.offline:
            code, output = await self._sync(lock, scratch, progress, offline=False, dated=False)
            if code == 0:
                return
        raise explain(output, self._attempt(lock))

    async def _sync(
        self, lock: Lock, scratch: Path, progress: Callable[[str], None], *, offline: bool, dated: bool
    ) -> tuple[int, str]:
        file = scratch / file_name(lock.form)
        file.write_text(lock.text)
        names = frozenset(lock.undated)
        # What is built without network might get other tools than those of the date.
        kept = ("--no-build",) if offline and not self._uv.offline else ()
        for _ in range(ROUNDS):
            date = date_options(lock.build_as_of, names) if dated else ()
            code, output = await self._uv.follow(
                self._uv.command(
                    *install_command(lock, file, scratch / "env"), *date, *kept, offline=offline
                ),
                cwd=scratch,
                more=self._wheels.variables,
                started=(scratch / OWNER).write_text,
                progress=lambda line: progress(line) if line.startswith(SHOWN) else None,
            )
            new = undated(output) - names
            if code == 0 or not new or not date:
                return code, output
            names |= new
        return code, output

    def _attempt(self, lock: Lock) -> Attempt:
        return Attempt(
            what=f"environment {lock.digest[:12]}", python=lock.python, as_of=lock.as_of, folder=self._folder
        )

    def _sweep(self, mine: str) -> None:
        """Remove what killed builds have left: of this environment, and of those nobody builds now."""
        for scratch in self._folder.glob("*.tmp"):
            name = scratch.name.split(".")[0]
            if name == mine:
                clear(scratch)
                continue
            handle = os.open(self._turns.file(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if take(handle):
                    clear(scratch)
            finally:
                os.close(handle)


def install_command(lock: Lock, file: Path, environment: Path) -> tuple[str, ...]:
    """uv's command for exactly the packages of the lock."""
    python = str(environment / "bin" / "python")
    return tuple(
        sync_arguments(text=lock.text, form=lock.form, hashed=lock.hashed, file=str(file), python=python)
    )


def place_hook(environment: Path) -> None:
    for packages in environment.glob("lib/python3*/site-packages"):
        (packages / "bodywork_stage.pth").write_text(HOOK)


def replace(new: Path, final: Path, aside: Path) -> None:
    """Put `new` in its place; what stands there has lost its interpreter."""
    if final.exists():
        final.rename(aside)
    new.rename(final)


def clear(scratch: Path) -> None:
    """End the uv that still writes into a left folder, if one does, and remove the folder."""
    with contextlib.suppress(OSError):
        process.end_identities({(scratch / OWNER).read_text()}, grace=0.0)
    shutil.rmtree(scratch, ignore_errors=True)
