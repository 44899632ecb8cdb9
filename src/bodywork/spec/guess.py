"""Which files of a folder look like stages, what kind they are and what they need."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from bodywork.spec import imports, paths
from bodywork.spec.names import label, unique_labels

ROLES: tuple[tuple[str, ...], ...] = (
    (
        "prepare",
        "data",
        "etl",
        "ingest",
        "extract",
        "download",
        "clean",
        "preprocess",
        "feature",
        "transform",
    ),
    ("train", "fit"),
    ("evaluate", "choose", "select", "validate"),
    ("score", "predict", "batch", "infer", "forecast"),
    ("serve", "service", "app", "api", "web"),
)
"""Beginnings of words in file names, in the order in which such stages run."""

TRAIN = 1
GENERAL = frozenset({"main", "run", "stage", "__main__", "index"})
PASSED_OVER = frozenset(
    {"test", "tests", "docs", "doc", "node_modules", "venv", "env", "build", "dist", "examples"}
)
DEEPEST = 3
MOST_STAGES = 10
LONGEST_NAME = 30
LATEST_PYTHON = 14


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A file that looks like a stage.

    `port` is None for a batch stage. `requirements` is a file of the folder or a list of packages.
    `rank` says how early it runs.
    """

    name: str
    run: str
    rank: int
    port: int | None
    requirements: str | tuple[str, ...]
    starts_itself: bool = True


def guess(files: Mapping[str, str | None]) -> tuple[Guess, ...]:
    """The stages that a folder seems to hold, in their order. `files` maps paths to texts."""
    modules = sorted(path for path in files if _is_module(path))
    sources = {path: imports.code(path, files[path] or "") for path in modules}
    imported = {path: imports.imported(source) for path, source in sources.items()}
    chosen = _with_a_role(modules, imported) or _scripts(modules, sources, imported)
    names = _names(chosen[:MOST_STAGES])
    found = [_guess(path, names[path], files, sources[path], imported[path]) for path in names]
    return tuple(sorted(found, key=lambda item: (item.rank, item.run)))


def _guess(
    path: str, name: str, files: Mapping[str, str | None], source: str, imported: frozenset[str]
) -> Guess:
    package = imports.server(source, imported) if path.endswith(".py") else None
    role = _role(path)
    last = len(ROLES) - 1
    return Guess(
        name=name,
        run=path,
        rank=last if package or role is None else role,
        port=imports.port(source, package) if package else None,
        requirements=_requirements_file(path, files) or imports.packages(imported, _local(files)),
        starts_itself=package is None or imports.starts_itself(source),
    )


def _is_module(path: str) -> bool:
    name = posixpath.basename(path)
    folders = path.split("/")[:-1]
    return (
        path.endswith((".py", ".ipynb"))
        and path.isprintable()
        and paths.fault(path) is None
        and paths.tidy(path) == path
        and len(folders) <= DEEPEST
        and not any(folder.lower() in PASSED_OVER or folder.startswith(".") for folder in folders)
        and not name.startswith(("test_", ".", "conftest"))
        and not name.endswith("_test.py")
        and name not in ("__init__.py", "setup.py", "noxfile.py")
    )


def _words(path: str) -> list[str]:
    stem = posixpath.splitext(posixpath.basename(path))[0].lower()
    folder = posixpath.basename(posixpath.dirname(path)).lower()
    return [word for word in re.split(r"[^a-z]+", folder if stem in GENERAL and folder else stem) if word]


def _role(path: str) -> int | None:
    for word in _words(path):
        for rank, beginnings in enumerate(ROLES):
            if word.startswith(beginnings):
                return rank
    return None


def _with_a_role(modules: list[str], imported: Mapping[str, frozenset[str]]) -> list[str]:
    """Modules whose names say what they do, without those that others import."""
    used = {name.rpartition(".")[2] for names in imported.values() for name in names}
    used |= {name.partition(".")[0] for names in imported.values() for name in names}
    return [
        path
        for path in modules
        if _role(path) is not None and posixpath.splitext(posixpath.basename(path))[0] not in used
    ]


def _scripts(
    modules: list[str], sources: Mapping[str, str], imported: Mapping[str, frozenset[str]]
) -> list[str]:
    """Modules that are run or that serve; else the only one there is."""
    found = [
        path
        for path in modules
        if imports.is_script(sources[path]) or imports.server(sources[path], imported[path])
    ]
    return found or (modules if len(modules) == 1 else [])


def _names(chosen: list[str]) -> dict[str, str]:
    """A stage name for each path: the file's, with its folder's where that is needed."""
    stems = {path: posixpath.splitext(posixpath.basename(path))[0] for path in chosen}
    wanted = {}
    for path, stem in stems.items():
        folder = posixpath.basename(posixpath.dirname(path))
        alone = list(stems.values()).count(stem) == 1 and stem not in GENERAL
        made = stem if alone or not folder else folder if stem in GENERAL else f"{folder}-{stem}"
        wanted[path] = label(made)[:LONGEST_NAME].rstrip("-")
    numbered: dict[str, str] = {}
    for path, name in wanted.items():
        again = list(wanted.values())[: list(wanted).index(path)].count(name)
        numbered[path] = f"{name}_{again + 1}" if again else name
    labels = unique_labels(numbered.values())
    return {path: labels[name] for path, name in numbered.items()}


def _requirements_file(path: str, files: Mapping[str, str | None]) -> str | None:
    """The file nearest to the module, going up, that says which packages are needed."""
    folder = posixpath.dirname(path)
    while True:
        for name in ("uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml"):
            file = posixpath.join(folder, name)
            if file in files and file.isprintable() and _usable(file, files):
                return file
        if not folder:
            return None
        folder = posixpath.dirname(folder)


def _usable(file: str, files: Mapping[str, str | None]) -> bool:
    name = posixpath.basename(file)
    if name == "uv.lock":
        return posixpath.join(posixpath.dirname(file), "pyproject.toml") in files
    return name != "pyproject.toml" or "dependencies" in _project_table(files[file])


def _project_table(text: str | None) -> Mapping[str, object]:
    try:
        table = tomllib.loads(text or "").get("project", {})
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def python(files: Mapping[str, str | None], default: str) -> str:
    """The Python version of the folder's pyproject.toml when it asks for a newer one than `default`."""
    asked = str(_project_table(files.get("pyproject.toml")).get("requires-python", ""))
    found = re.search(r"(?:>=|==|~=)\s*3\.(\d{1,2})", asked)
    minor = int(found[1]) if found else 0
    return f"3.{minor}" if int(default.partition(".")[2]) < minor <= LATEST_PYTHON else default


def _local(files: Mapping[str, str | None]) -> frozenset[str]:
    """Names that an import may find in the project itself."""
    parts = {part for path in files if path.endswith(".py") for part in path.split("/")}
    return frozenset(part.removesuffix(".py") for part in parts)
