"""Requirement files as text: logical lines, includes, what is a path, what has a hash.

The form is the one that pip documents: a backslash continues a line, ` #` begins a comment, `-r`
includes a file that is named relative to the including one, `-c` names constraints in the same
way. Paths of packages are relative to the project's folder, where pip would be called.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bodywork.errors import NotFoundError, ResolutionError

ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
COMMENT = re.compile(r"(^|\s)#.*$")
OPTION = re.compile(r"^(?P<name>--?[A-Za-z][A-Za-z-]*)(\s*=\s*|\s+|$)(?P<value>.*)$")
NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")
DISTRIBUTION = re.compile(r"\.(whl|zip|tar\.gz|tgz|tar\.bz2)$")
LONG = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-i": "--index-url",
    "-f": "--find-links",
    "-e": "--editable",
}

INDEX_OPTIONS = (
    "--index-url",
    "--extra-index-url",
    "--find-links",
    "--no-index",
    "--no-binary",
    "--only-binary",
)
"""The options that an installation needs as well as a resolution."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What requirement files say, includes and all: requirements, constraints, options.

    `files` are the paths of the files that said it.
    """

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __add__(self, other: Lines) -> Lines:
        return Lines(
            requirements=self.requirements + other.requirements,
            constraints=self.constraints + other.constraints,
            options=self.options + other.options,
            files=self.files + other.files,
        )

    @property
    def hashed(self) -> bool:
        return bool(self.requirements) and all("--hash=" in line for line in self.requirements)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for line in self.requirements if (name := name_of(line)))


def read_file(folder: Path, file: str) -> Lines:
    """The lines of a requirement file of the project, those of included files in their place.

    Raises NotFoundError.
    """
    return _read(folder, file, seen=())


def read_lines(folder: Path, text: str, *, file: str = "", seen: tuple[str, ...] = ()) -> Lines:
    """The lines of a text that stands in `file` ("": in bodywork.yaml)."""
    found = Lines()
    for line in logical(text):
        option = OPTION.match(line)
        name = LONG.get(option["name"], option["name"]) if option else ""
        value = option["value"].strip() if option else ""
        if name == "--requirement":
            found += _read(folder, _beside(file, value), seen=(*seen, file))
        elif name == "--constraint":
            included = _read(folder, _beside(file, value), seen=(*seen, file))
            constraints = included.requirements + included.constraints
            found += Lines(constraints=constraints, files=included.files)
        elif name == "--editable":
            found += Lines(requirements=(_installed(value),))
        elif name:
            found += Lines(options=(_option(name, value),))
        else:
            found += Lines(requirements=(line,))
    return found


def logical(text: str) -> Iterator[str]:
    """Lines without comments and blanks, continued ones put together."""
    joined = re.sub(r"\\\r?\n", " ", text)
    for line in joined.splitlines():
        if kept := COMMENT.sub("", line).strip():
            yield " ".join(kept.split())


def text_of(folder: Path, file: str) -> str:
    """The text of a file of the project. Raises NotFoundError, ResolutionError when it is no text."""
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise NotFoundError(f"{file}: lies outside of the project", hint="name a file of the repository")
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NotFoundError(
            f"{file}: there is no such file in the project at this commit",
            hint="paths are relative to the folder of bodywork.yaml; is the file committed?",
        ) from None
    encoding = next((name for mark, name in ENCODINGS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ResolutionError(f"{file}: is not UTF-8 text ({error.reason} at byte {error.start})") from None


def name_of(line: str) -> str | None:
    """The package's name as indexes write it: `Flask-Login[x]==1` -> `flask-login`."""
    if line.startswith(("-", ".", "/")) or re.match(r"^[a-z+]+:", line):
        return None
    found = NAME.match(line)
    return normal(found[1]) if found else None


def normal(name: str) -> str:
    """A package's name in the form that compares (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def local_path(line: str, folder: Path) -> Path | None:
    """The file or folder of the project that a requirement means, if it means one."""
    target = line.split(" @ ", 1)[1] if " @ " in line else line
    target = target.split(" ;")[0].split(" --")[0].strip()
    if target.startswith("file:"):
        target = re.sub(r"^file:(//)?", "", target).split("#")[0]
    elif "://" in target:
        return None
    if not target:
        return None
    bare = re.sub(r"\[[^\]]*\]$", "", target)
    looks = bare.startswith((".", "/")) or "/" in bare or DISTRIBUTION.search(bare)
    return Path(os.path.normpath(folder / bare)) if looks else None


def link_target(option: str) -> str:
    """The place that a `--find-links` option names; "" for other options."""
    name, _, value = option.partition(" ")
    return value if name == "--find-links" else ""


def tree_digest(path: Path) -> str:
    """The SHA-256 of a file, or of all files below a folder with their names; Git's own left out."""
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if ".git" in file.parts or not file.is_file():
            continue
        whole.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        whole.update(file.read_bytes())
    return whole.hexdigest()


def _installed(value: str) -> str:
    """What `-e` names, to be installed like any package.

    An environment never changes, and the build tools of before August 2022 cannot do more.
    """
    return value if ":" in value or value.startswith((".", "/")) else f"./{value}"


def _option(name: str, value: str) -> str:
    if name == "--find-links" and "://" not in value and not value.startswith((".", "/")):
        value = f"./{value}"
    return f"{name} {value}".strip()


def _read(folder: Path, file: str, *, seen: tuple[str, ...]) -> Lines:
    if file in seen:
        return Lines()
    return Lines(files=(file,)) + read_lines(folder, text_of(folder, file), file=file, seen=seen)


def _beside(file: str, included: str) -> str:
    return os.path.normpath(Path(file).parent / included)
