"""Compile each release of a package once per Python, however many environments hold it.

Compiling is nearly all of the time that an environment takes when uv has its wheels at hand
(scikit-learn with its dependencies: 5 s of 5.5 s on two cores). So the bytecode of a distribution
is kept under the hashes of its sources and linked into each further environment. It is of the
kind that is tied to the content, not the date, of its source (PEP 552, unchecked): nothing in an
environment changes after it is built. Tests inside of packages are left out; they are half of the
files, and hardly ever imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bodywork import process
from bodywork.stage.installing import FULL

COMPILE = """
import os, py_compile, sys, warnings
parent = os.getppid()
warnings.simplefilter("ignore")
sys.setrecursionlimit(10000)
for line in open(sys.argv[1], encoding="utf-8", errors="surrogateescape"):
    if os.getppid() != parent:
        break  # it was killed, and nobody wants this any more
    try:
        py_compile.compile(line[:-1], doraise=True,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except OSError:
        raise
    except Exception:
        pass  # templates, and code for other versions of Python
"""
TAG = "import sys; print(sys.implementation.cache_tag, sys.hexversion)"
TESTS = frozenset({"test", "tests"})


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """An installed distribution: its modules relative to site-packages, and a name for their bytecode."""

    key: str
    modules: tuple[str, ...]


class Bytecode:
    """The kept bytecode, a folder for each release and Python."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def place(self, environment: Path) -> str:
        """Compile what is not kept, link what is; what the compiler says when the disk is full, or ""."""
        python = environment / "bin" / "python"
        tag = (await process.run_async([str(python), "-I", "-S", "-c", TAG])).stdout.strip()
        for packages in environment.glob("lib/python3*/site-packages"):
            found = [read(record, tag) for record in packages.glob("*.dist-info/RECORD")]
            missing = await asyncio.to_thread(self._link_all, found, packages, tag.split()[0])
            said = await compile_all(python, [module for one in missing for module in one.modules], packages)
            if any(sign in said for sign in FULL):
                return said
            await asyncio.to_thread(self._keep_all, missing, packages, tag.split()[0])
        return ""

    def _link_all(self, found: Iterable[Distribution], packages: Path, tag: str) -> list[Distribution]:
        """Those whose bytecode is not kept."""
        return [one for one in found if not self._link(one, packages, tag)]

    def _link(self, one: Distribution, packages: Path, tag: str) -> bool:
        kept = self._folder / one.key
        if not kept.is_dir():
            return False
        for number, module in enumerate(one.modules):
            with contextlib.suppress(FileNotFoundError):
                link(kept / str(number), compiled(packages / module, tag))
        return True

    def _keep_all(self, missing: Iterable[Distribution], packages: Path, tag: str) -> None:
        for one in missing:
            beside = self._folder / f"{one.key}.{secrets.token_hex(4)}.tmp"
            # It only makes later builds faster: when it cannot be written, nothing is lost.
            with contextlib.suppress(OSError):
                beside.mkdir(parents=True)
                for number, module in enumerate(one.modules):
                    with contextlib.suppress(FileNotFoundError):
                        link(compiled(packages / module, tag), beside / str(number))
                beside.rename(self._folder / one.key)
            shutil.rmtree(beside, ignore_errors=True)


def read(record: Path, tag: str) -> Distribution:
    """What a RECORD (the list of files of an installed distribution, with their hashes) names."""
    with record.open(newline="", encoding="utf-8") as lines:
        listed = [(row[0], row[1]) for row in csv.reader(lines) if len(row) > 1 and is_module(row[0])]
    packages = record.parent.parent
    rows = sorted((name, hashed or digest_of_file(packages / name)) for name, hashed in listed)
    whole = hashlib.sha256(repr((tag, rows)).encode())
    return Distribution(key=whole.hexdigest(), modules=tuple(row[0] for row in rows))


def digest_of_file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def is_module(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name.endswith(".py") and parts[0] not in ("..", "/") and not TESTS.intersection(parts[:-1])


def compiled(module: Path, tag: str) -> Path:
    """Where the import system looks for the bytecode of a module."""
    return module.parent / "__pycache__" / f"{module.stem}.{tag}.pyc"


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there can be none. Raises FileNotFoundError without a source."""
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


async def compile_all(python: Path, modules: list[str], packages: Path) -> str:
    """Compile modules with as many processes as there are cores; what they said in failing."""
    biggest = sorted(modules, key=lambda module: size(packages / module), reverse=True)
    parts = [part for part in shares(biggest, os.cpu_count() or 1) if part]
    lists = [packages.parent / f"compile-{number}.txt" for number in range(len(parts))]
    for part, file in zip(parts, lists, strict=True):
        text = "".join(f"{packages / module}\n" for module in part)
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
    commands = [[str(python), "-I", "-S", "-c", COMPILE, str(file)] for file in lists]
    ended = await asyncio.gather(*(process.run_async(command, check=False) for command in commands))
    for file in lists:
        file.unlink()
    return "\n".join(one.stderr for one in ended if one.code != 0)


def shares(modules: list[str], count: int) -> Iterator[list[str]]:
    for number in range(count):
        yield modules[number::count]


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
