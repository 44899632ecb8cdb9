"""Packages that are files of the project, kept as wheels beside the locks.

A lock must say the same in two years, when the project's files of that commit are no longer laid
out. So a package that is a folder of the project is built into a wheel when it is locked, a wheel
or source distribution is copied, and the lock names the copy, by its hash:
`${BODYWORK_WHEELS}/<sha256>/<file>`, with a variable that the installation sets.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

from bodywork.environment.exclusive import on_disk
from bodywork.environment.explain import Attempt, explain
from bodywork.environment.requirement import DISTRIBUTION, link_target, local_path, normal, tree_digest
from bodywork.environment.uv import Uv

VARIABLE = "BODYWORK_WHEELS"
REST = re.compile(r"( ;.*)$|( --hash=.*)$")

# 1980-01-01: the first moment that a zip archive can hold. The same files give the same wheel.
EPOCH = "315532800"


class Wheels:
    """The folder of kept wheels, each in a folder named by its SHA-256."""

    def __init__(self, folder: Path, uv: Uv) -> None:
        self._folder = folder
        self._uv = uv

    @property
    def variables(self) -> dict[str, str]:
        """What an installation needs to find them."""
        return {VARIABLE: quote(str(self._folder))}

    async def line(
        self, line: str, *, folder: Path, python: str, date: tuple[str, ...], attempt: Attempt
    ) -> str:
        """The requirement with the project's file, if it names one, replaced by a kept wheel."""
        path = local_path(line, folder)
        if path is None:
            return line
        with on_disk(self._folder), tempfile.TemporaryDirectory(prefix="bodywork-wheel-") as scratch:
            if path.is_dir():
                path = await self._built(path, Path(scratch), python=python, date=date, attempt=attempt)
            digest = await asyncio.to_thread(self._kept, path)
        name = normal(re.split(r"-\d", path.name)[0])
        found = REST.search(line)
        rest = found[0] if found else ""
        hashed = "" if "--hash=" in rest else f" --hash=sha256:{digest}"
        return f"{name} @ file://${{{VARIABLE}}}/{digest}/{path.name}{rest}{hashed}"

    async def option(self, option: str, *, folder: Path) -> str:
        """The option with a folder of distributions, if it names one, replaced by a copy of it."""
        path = local_path(link_target(option), folder)
        if path is None or not path.is_dir():
            return option
        with on_disk(self._folder):
            digest = await asyncio.to_thread(self._copied, path)
        return f"--find-links file://${{{VARIABLE}}}/{digest}"

    async def _built(
        self, path: Path, scratch: Path, *, python: str, date: tuple[str, ...], attempt: Attempt
    ) -> Path:
        # In a copy, since builds leave files behind in their source.
        source = scratch / "source" / path.name
        skipped = shutil.ignore_patterns(".git", "build", "*.egg-info")
        await asyncio.to_thread(shutil.copytree, path, source, symlinks=True, ignore=skipped)
        said = await self._uv.run(
            *("build", "--wheel", "--out-dir", str(scratch / "out"), "--python", python, *date, str(source)),
            cwd=scratch,
            more={"SOURCE_DATE_EPOCH": EPOCH},
        )
        if said.code != 0:
            raise explain(said.stderr, attempt)
        return next((scratch / "out").glob("*.whl"))

    def _kept(self, path: Path) -> str:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._place([path], digest)
        return digest

    def _copied(self, path: Path) -> str:
        files = [file for file in sorted(path.iterdir()) if DISTRIBUTION.search(file.name)]
        digest = tree_digest(path)
        self._place(files, digest)
        return digest

    def _place(self, files: list[Path], digest: str) -> None:
        final = self._folder / digest
        if final.exists():
            return
        beside = self._folder / f"{digest}.{secrets.token_hex(4)}.tmp"
        try:
            beside.mkdir(parents=True)
            for file in files:
                shutil.copyfile(file, beside / file.name)
            beside.rename(final)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            if not final.exists():
                raise
