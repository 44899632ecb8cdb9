"""What a stage asks for, read from the project's files into one value with a name of its own.

There are four ways to ask: requirements to resolve, requirements that already have a hash each,
a uv.lock, and a pylock.toml. The `key` is the same whenever the answer must be the same.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from bodywork.environment.lock import machine
from bodywork.environment.requirement import (
    Lines,
    link_target,
    local_path,
    normal,
    read_file,
    read_lines,
    text_of,
    tree_digest,
)
from bodywork.errors import NotFoundError, ResolutionError
from bodywork.spec.model import Requirements

# pkg_resources, for the sake of which old projects get setuptools, is not in version 82 and later.
SETUPTOOLS = "setuptools<82"
NOTEBOOK = ("nbclient", "ipykernel")

Way = Literal["resolve", "hashed", "uv", "pylock"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """All that a lock depends on.

    `what` names it in messages; `file` is the project's file, if one is named; `folder` is where
    its relative paths begin. `extra` are requirements that are added. `indexes` are options for
    those of which the project's own settings tell uv while it resolves, but not while it
    installs. `platform` is the one that the packages are for, as uv names it (None: this machine's).
    `builds` says that folders of the project are among the packages. `key` is a SHA-256.
    """

    way: Way
    what: str
    folder: Path
    file: Path | None
    lines: Lines
    text: str
    extra: tuple[str, ...]
    indexes: tuple[str, ...]
    python: str
    as_of: datetime | None
    platform: str | None = None
    builds: bool = False
    key: str = ""

    @property
    def resolves(self) -> bool:
        """Whether the state of the index has a say."""
        return bool(self.extra) or (self.way == "resolve" and not self.empty)

    @property
    def empty(self) -> bool:
        return self.way == "resolve" and not (self.lines.requirements or self.extra or self.text)

    @property
    def when(self) -> str:
        return f" as of {self.as_of:%Y-%m-%d}" if self.as_of and self.resolves else ""


def moved(asked: Asked, root: Path, copy: Path) -> Asked:
    """The same question about a copy of `root`, in which the project's files are."""
    file = copy / asked.file.relative_to(root) if asked.file else None
    return replace(asked, folder=copy / asked.folder.relative_to(root), file=file)


def read(
    requirements: Requirements,
    *,
    python: str,
    folder: Path,
    as_of: datetime | None,
    setuptools: bool,
    notebook: bool,
    platform: str | None = None,
) -> Asked:
    """Read what is asked for. Raises NotFoundError, ResolutionError."""
    way, where, lines, text = _source(requirements, folder)
    names = lines.names | (_locked_names(text) if way == "pylock" else frozenset())
    wanted = (*((SETUPTOOLS,) if setuptools else ()), *(NOTEBOOK if notebook else ()))
    extra = tuple(one for one in wanted if normal(one.split("<")[0]) not in names)
    date = as_of.astimezone(UTC) if as_of else None
    asked = Asked(
        way=way,
        what=requirements.file or ", ".join(requirements.packages),
        folder=where,
        file=folder / requirements.file if requirements.file else None,
        lines=lines,
        text=text,
        extra=extra,
        indexes=() if way == "pylock" else _indexes(where),
        python=python,
        as_of=date,
        platform=platform,
    )
    paths = _paths(asked)
    return replace(asked, builds=any(path.is_dir() for path in paths), key=_key(asked, paths))


def files_read(requirements: Requirements, folder: Path) -> tuple[str, ...]:
    """The files of the project in `folder` that say which packages are asked for, includes and all.

    Raises NotFoundError.
    """
    file = requirements.file
    if file is None:
        return read_lines(folder, "\n".join(requirements.packages)).files
    return _source(requirements, folder)[2].files or (file,)


def _source(requirements: Requirements, folder: Path) -> tuple[Way, Path, Lines, str]:
    file = requirements.file
    if file is None:
        return "resolve", folder, read_lines(folder, "\n".join(requirements.packages)), ""
    name = PurePosixPath(file).name
    where = (folder / file).parent
    if name == "pyproject.toml":
        return "resolve", where, Lines(), text_of(folder, file)
    if name == "uv.lock":
        return "uv", where, Lines(), _with_project(folder, file)
    if name == "pylock.toml" or (name.startswith("pylock.") and name.endswith(".toml")):
        text = text_of(folder, file)
        _check_pylock(text, file)
        return "pylock", folder, Lines(), text
    if not name.endswith((".txt", ".in")):
        raise ResolutionError(
            f"{file}: is no file of requirements that bodywork reads",
            hint="name a requirements.txt, pyproject.toml, uv.lock or pylock.toml, or list the packages",
        )
    lines = read_file(folder, file)
    return ("hashed" if lines.hashed else "resolve"), folder, lines, ""


def _paths(asked: Asked) -> list[Path]:
    """The packages that are files or folders of the project."""
    named = (*asked.lines.requirements, *map(link_target, asked.lines.options))
    paths = [path for line in named if (path := local_path(line, asked.folder))]
    if asked.file and asked.text and _needs_files(asked.text):
        paths.append(asked.file.parent)
    for path in paths:
        if not path.exists():
            raise NotFoundError(
                f"{asked.what}: asks for {path.name}, which is not in the project",
                hint="paths are relative to the folder of bodywork.yaml; is it committed?",
            )
    return paths


def _key(asked: Asked, paths: Sequence[Path]) -> str:
    lines = asked.lines
    parts: list[Any] = [
        *("key 1", asked.way, lines.requirements, lines.constraints, lines.options, asked.text, asked.extra),
        asked.indexes,
        *(
            asked.python,
            asked.platform or machine(),
            asked.as_of.isoformat() if asked.as_of and asked.resolves else None,
        ),
        [tree_digest(path) for path in paths],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _needs_files(text: str) -> bool:
    """Whether a pyproject.toml or uv.lock leans on other files of the project."""
    data = _toml(text.partition("\0")[0], "")
    if "package" in data:
        kinds = ("directory", "editable", "path", "virtual")
        sources = [package.get("source", {}) for package in data["package"]]
        return any(source.get(kind, ".") != "." for source in sources for kind in kinds)
    project = data.get("project", {})
    if "name" not in project or "dependencies" in project.get("dynamic", ()):
        return True
    sources = data.get("tool", {}).get("uv", {}).get("sources", {})
    return "workspace" in json.dumps(sources) or "path" in json.dumps(sources)


def _with_project(folder: Path, file: str) -> str:
    """A uv.lock and the pyproject.toml that uv wants to see beside it."""
    beside = str(PurePosixPath(file).with_name("pyproject.toml"))
    lock = text_of(folder, file)
    try:
        return f"{lock}\0{text_of(folder, beside)}"
    except NotFoundError:
        raise NotFoundError(
            f"{file}: there is no pyproject.toml beside it, without which uv cannot read it",
            hint=f"commit {beside} too, or run `uv export -o requirements.txt` and name that file",
        ) from None


def _indexes(folder: Path) -> tuple[str, ...]:
    """The indexes of which the project's own settings tell uv: an installation must know them too."""
    found: list[str] = []
    for name in ("pyproject.toml", "uv.toml"):
        if not (folder / name).is_file():
            continue
        settings = _toml(text_of(folder, name), name)
        if name == "pyproject.toml":
            settings = settings.get("tool", {}).get("uv", {})
        for index in settings.get("index", []):
            option = "--index-url" if index.get("default") else "--extra-index-url"
            found.append(f"{option} {index.get('url')}")
    return tuple(url for url in found if "://" in url)


def _check_pylock(text: str, file: str) -> None:
    for package in _toml(text, file).get("packages", []):
        wheels = [*package.get("wheels", []), package.get("sdist", {}), package.get("archive", {})]
        if "directory" in package or any("path" in one and "url" not in one for one in wheels):
            raise ResolutionError(
                f"{file}: package {package.get('name')} is a path of the project, which a pylock.toml "
                "cannot bring along",
                hint="list that package in a requirements.txt instead",
            )


def _locked_names(text: str) -> frozenset[str]:
    return frozenset(normal(str(package.get("name"))) for package in _toml(text, "").get("packages", []))


def _toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ResolutionError(f"{file}: is not TOML: {error}") from None
