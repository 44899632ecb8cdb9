"""Find the interpreter that a stage asks for.

uv's own search stops at shims that answer only for a selected version (as pyenv's do), so the
places where interpreters live are looked at here, and each find is run once to see what it is.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bodywork import process
from bodywork.environment.uv import Uv
from bodywork.errors import MachineError

OLDEST = (3, 8)
"""The oldest Python that `bodywork.stage` runs on."""

NEWEST_MINOR = 20
# The path that it gives is its own: a shim's meaning can depend on the folder it is called in.
PROBE = """
import sys
print(sys.implementation.name, *sys.version_info[:3], getattr(sys, "_base_executable", "") or sys.executable)
"""
PROBE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """An interpreter that has been run, and the version that it gave."""

    path: str
    version: tuple[int, int, int]

    def fits(self, wanted: tuple[int, ...]) -> bool:
        return self.version[: len(wanted)] == wanted

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.version)


class Interpreters:
    """The interpreters of this machine; each version is looked for once."""

    def __init__(self, uv: Uv) -> None:
        self._uv = uv
        self._found: dict[str, Interpreter] = {}
        self._failed: dict[str, MachineError] = {}
        self._lock = asyncio.Lock()

    async def find(self, version: str) -> Interpreter:
        """The newest patch of `version` ("3.12", "3.12.1"); fetched by uv if that is allowed.

        Raises MachineError with the versions that are here.
        """
        async with self._lock:
            if version in self._failed:
                raise self._failed[version]
            if version not in self._found:
                self._found[version] = await self._look(version)
            return self._found[version]

    async def _look(self, version: str) -> Interpreter:
        wanted = parse(version)
        found = newest(await self._here(wanted[:2]), wanted)
        try:
            return found or await self._fetch(version)
        except MachineError as error:
            self._failed[version] = error
            raise

    async def _here(self, minor: tuple[int, ...]) -> list[Interpreter]:
        return await probe_all(await asyncio.to_thread(places, minor, self._uv.environment))

    async def _fetch(self, version: str) -> Interpreter:
        if not self._uv.downloads or self._uv.offline:
            raise await self._missing(version, "")
        allowed = {"UV_PYTHON_DOWNLOADS": "automatic"}
        said = await self._uv.run("python", "install", version, cwd=Path("/"), more=allowed)
        found = newest(await self._here(parse(version)[:2]), parse(version)) if said.code == 0 else None
        if found is None:
            raise await self._missing(version, said.stderr)
        return found

    async def _missing(self, version: str, tried: str) -> MachineError:
        every = await asyncio.gather(*(self._here((3, minor)) for minor in range(OLDEST[1], NEWEST_MINOR)))
        here = sorted({found.version for some in every for found in some})
        names = ", ".join(".".join(map(str, found)) for found in here) or "none"
        fetched = f"; uv could not fetch it ({last_cause(tried)})" if tried else ""
        minor = ".".join(version.split(".")[:2])
        return MachineError(
            f"Python {version} is not on this machine (found: {names}){fetched}",
            hint=f"get it with `uv python install {version}`, `pyenv install {version}` or "
            f"`apt-get install python{minor} python{minor}-venv`, or set `python:` in bodywork.yaml "
            "to a version that is here",
        )


def parse(version: str) -> tuple[int, ...]:
    """ "3.12" -> (3, 12). Raises MachineError for what is no version, or too old a one."""
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", version):
        raise MachineError(
            f"`{version}` is not a Python version", hint='write it as "3.12" or "3.12.1", in quotes'
        )
    numbers = tuple(int(part) for part in version.split("."))
    if numbers[:2] < OLDEST:
        raise MachineError(
            f"Python {version} is too old: stages run on Python {OLDEST[0]}.{OLDEST[1]} and newer",
            hint='set `python: "3.8"` in bodywork.yaml',
        )
    return numbers


def newest(found: Iterable[Interpreter], wanted: tuple[int, ...]) -> Interpreter | None:
    """The one with the highest patch number among those that fit; the first of equals."""
    return max((one for one in found if one.fits(wanted)), key=lambda one: one.version, default=None)


def places(minor: tuple[int, ...], variables: Mapping[str, str]) -> list[str]:
    """Where interpreters of version `minor` (3, 12) may be: ours, PATH, pyenv's, uv's."""
    name = f"python{minor[0]}.{minor[1]}"
    found: list[str] = []
    if sys.version_info[:2] == minor:
        found.append(getattr(sys, "_base_executable", None) or sys.executable)
    found += [str(Path(folder) / name) for folder in variables.get("PATH", "").split(os.pathsep) if folder]
    home = Path(variables.get("HOME") or "/")
    pyenv = Path(variables.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    found += [str(one / "bin" / name) for one in pyenv.glob(f"{minor[0]}.{minor[1]}.*")]
    data = Path(variables.get("XDG_DATA_HOME") or home / ".local" / "share")
    managed = Path(variables.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    found += [str(one / "bin" / name) for one in managed.glob(f"cpython-{minor[0]}.{minor[1]}.*")]
    return [one for one in dict.fromkeys(found) if os.access(one, os.X_OK)]


async def probe_all(paths: Iterable[str]) -> list[Interpreter]:
    """Run each; those that do not run, or are no CPython, are left out."""
    return [found for found in await asyncio.gather(*map(probe, paths)) if found]


async def probe(path: str) -> Interpreter | None:
    try:
        said = await process.run_async([path, "-I", "-S", "-c", PROBE], timeout=PROBE_SECONDS)
        name, major, minor, patch, real = said.stdout.strip().split(" ", 4)
    except (OSError, ValueError, process.CommandError):
        return None
    if name != "cpython":
        return None
    return Interpreter(path=real, version=(int(major), int(minor), int(patch)))


def last_cause(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1].removeprefix("cause: ") if lines else "it said nothing"
