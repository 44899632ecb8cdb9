"""From what is asked for to a lock: by uv, as of a date, or by taking the project's own lock."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bodywork import process
from bodywork.environment.asked import Asked
from bodywork.environment.exclusive import on_disk
from bodywork.environment.explain import Attempt, explain
from bodywork.environment.lock import Form, Lock, digest_of
from bodywork.environment.python import Interpreter, Interpreters
from bodywork.environment.requirement import INDEX_OPTIONS, link_target, local_path, logical, name_of
from bodywork.environment.uv import Uv
from bodywork.environment.wheels import Wheels
from bodywork.errors import ResolutionError
from bodywork.stage.installing import ROUNDS, date_arguments, undated

OUTPUT = ("--generate-hashes", "--no-header", "--no-annotate")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Locked requirement lines; for when they are; the packages for which no date holds."""

    lines: tuple[str, ...]
    as_of: datetime | None = None
    undated: frozenset[str] = frozenset()


class Resolver:
    """Makes locks. Each call runs uv; nothing is remembered."""

    def __init__(self, *, uv: Uv, interpreters: Interpreters, wheels: Wheels, cache: Path) -> None:
        self._uv = uv
        self._interpreters = interpreters
        self._wheels = wheels
        self._cache = cache

    async def lock(self, asked: Asked) -> Lock:
        """Raises ResolutionError, MachineError, UnreachableError."""
        if asked.way == "pylock":
            return pylock(asked)
        if asked.empty:
            return lock_of(asked, Answer(lines=()), ())
        if asked.way == "hashed" and not asked.extra:
            answer = Answer(lines=asked.lines.requirements)
            return lock_of(asked, await self._settled(asked, answer, python=None), await self._options(asked))
        python = await self._interpreters.find(asked.python)
        if asked.way == "resolve":
            answer = await self._compiled(asked, python, requirements=asked.lines.requirements)
        else:
            own = asked.lines.requirements if asked.way == "hashed" else await self._exported(asked, python)
            answer = await self._with_extra(asked, python, own)
        return lock_of(asked, await self._settled(asked, answer, python=python), await self._options(asked))

    async def _compiled(
        self,
        asked: Asked,
        python: Interpreter,
        *,
        requirements: Sequence[str],
        constraints: Sequence[str] = (),
    ) -> Answer:
        options = asked.lines.options
        with (
            on_disk(Path(tempfile.gettempdir())),
            tempfile.TemporaryDirectory(prefix="bodywork-lock-") as scratch,
        ):
            wanted, limits = Path(scratch, "requirements.in"), Path(scratch, "constraints.txt")
            known = [found_anywhere(option, asked.folder) for option in options]
            wanted.write_text("".join(f"{line}\n" for line in (*known, *requirements, *asked.extra)))
            limits.write_text("".join(f"{line}\n" for line in (*asked.lines.constraints, *constraints)))
            files = [str(wanted), "--constraints", str(limits)]
            if asked.way == "resolve" and asked.file and asked.text:
                files.insert(0, str(asked.file))
            pre = ["--prerelease", "allow"] if "--pre" in options else []
            there = ["--python-platform", asked.platform] if asked.platform else []
            command = ("pip", "compile", *files, "--python", python.path, *there, *OUTPUT, *pre)
            said, as_of, names = await self._dated(command, asked)
        if said.code != 0:
            place = f"`{asked.file.name if asked.file else 'requirements'}`"
            raise explain(re.sub(place_in(wanted), place, said.stderr), attempt_of(asked, self._cache))
        return Answer(lines=tuple(logical(said.stdout)), as_of=as_of, undated=names)

    async def _dated(
        self, command: Sequence[str], asked: Asked
    ) -> tuple[process.Completed, datetime | None, frozenset[str]]:
        """Run with the date, but for those packages of which the index tells no upload time."""
        names: frozenset[str] = frozenset()
        for _ in range(ROUNDS):
            said = await self._uv.run(*command, *date_options(asked.as_of, names), cwd=asked.folder)
            new = undated(said.stderr) - names
            if not new or asked.as_of is None:
                return said, asked.as_of, names
            names |= new
        return await self._uv.run(*command, cwd=asked.folder), None, names

    async def _exported(self, asked: Asked, python: Interpreter) -> tuple[str, ...]:
        said = await self._uv.run(
            *("export", "--frozen", "--format", "requirements.txt", "--no-header", "--no-annotate"),
            *("--no-emit-project", "--no-default-groups", "--no-editable", "--python", python.path),
            cwd=asked.folder,
        )
        if said.code != 0:
            raise explain(said.stderr, attempt_of(asked, self._cache))
        return tuple(logical(said.stdout))

    async def _with_extra(self, asked: Asked, python: Interpreter, own: tuple[str, ...]) -> Answer:
        """The project's own lock and, where it lacks them, the packages that are added to it.

        Those are resolved with the own lock as constraints: none of its versions moves.
        """
        names = {name_of(line) for line in own}
        if all(name_of(one) in names for one in asked.extra):
            return Answer(lines=own)
        pins = [line.split(" --hash=")[0] for line in own if name_of(line) and " @ " not in line]
        added = await self._compiled(asked, python, requirements=(), constraints=pins)
        new = tuple(line for line in added.lines if name_of(line) not in names)
        return Answer(lines=(*own, *new), as_of=None, undated=added.undated)

    async def _settled(self, asked: Asked, answer: Answer, *, python: Interpreter | None) -> Answer:
        """The answer with packages that are files of the project replaced by kept wheels."""
        date = date_options(answer.as_of, answer.undated)
        attempt = attempt_of(asked, self._cache)
        path = python.path if python else asked.python
        lines = [
            await self._wheels.line(line, folder=asked.folder, python=path, date=date, attempt=attempt)
            for line in answer.lines
        ]
        return Answer(lines=tuple(lines), as_of=answer.as_of, undated=answer.undated)

    async def _options(self, asked: Asked) -> tuple[str, ...]:
        kept = [one for one in asked.lines.options if one.split(" ")[0] in INDEX_OPTIONS]
        moved = [await self._wheels.option(one, folder=asked.folder) for one in kept]
        return tuple(dict.fromkeys((*moved, *asked.indexes)))


def lock_of(asked: Asked, answer: Answer, options: tuple[str, ...], form: Form = "requirements") -> Lock:
    text = "".join(f"{line}\n" for line in (*options, *answer.lines))
    locked = {name_of(line) for line in answer.lines}
    names = tuple(sorted(answer.undated & locked))
    # What is built needs packages as well; they are of the date of the project's own lock.
    build_as_of = asked.as_of if asked.way in ("hashed", "uv") else answer.as_of
    return Lock(
        digest=digest_of(python=asked.python, text=text, platform=asked.platform),
        python=asked.python,
        text=text,
        form=form,
        as_of=None if locked and locked == set(names) else answer.as_of,
        warnings=(dateless(names, asked.as_of),) if names and asked.as_of else (),
        build_as_of=build_as_of,
        undated=tuple(sorted(answer.undated)),
    )


def dateless(names: Sequence[str], as_of: datetime) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"the package index gives no upload times for {shown}: locked as of now, not as of {as_of:%Y-%m-%d}"
    )


def pylock(asked: Asked) -> Lock:
    """A pylock.toml as it is: uv installs it, and nothing can be added to it."""
    missing = [one for one in asked.extra if not one.startswith("setuptools")]
    if missing:
        raise ResolutionError(
            f"{asked.what}: lacks {' and '.join(missing)}, which running a notebook needs",
            hint=f"add {' and '.join(missing)} to what it was made from, and lock anew",
        )
    text = asked.text.replace("\r\n", "\n")
    return Lock(
        digest=digest_of(python=asked.python, text=text, platform=asked.platform),
        python=asked.python,
        text=text,
        form="pylock",
        as_of=None,
        warnings=(),
        build_as_of=asked.as_of,
    )


def date_options(as_of: datetime | None, names: frozenset[str] | Sequence[str]) -> tuple[str, ...]:
    """uv's options for the index as of a date (seconds, UTC), save for some packages."""
    moment = as_of.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if as_of else None
    return tuple(date_arguments(moment, names))


def found_anywhere(option: str, folder: Path) -> str:
    """The option with the folder that it names, if it does, as an address."""
    path = local_path(link_target(option), folder)
    return f"--find-links {path.as_uri()}" if path else option


def place_in(file: Path) -> str:
    """A pattern for the places in our temporary file that uv names: they are not the project's."""
    return rf"`?{re.escape(str(file))}`?(?::\d+:\d+| at position \d+)?"


def attempt_of(asked: Asked, folder: Path) -> Attempt:
    as_of = asked.as_of if asked.resolves else None
    return Attempt(what=asked.what or ", ".join(asked.extra), python=asked.python, as_of=as_of, folder=folder)
