"""From what the user named to a checked project at one commit, with its packages locked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from bodywork.environment import Environments, Lock, files_read
from bodywork.errors import BodyworkError, NotFoundError, Problem, UsageError
from bodywork.git import Commit, Git
from bodywork.run.plan import Source
from bodywork.spec.model import Project, Stage
from bodywork.spec.read import read

FILE = "bodywork.yaml"


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A project as it is at one commit. `warnings` are what is odd in its bodywork.yaml."""

    commit: Commit
    source: Source
    project: Project
    warnings: tuple[Problem, ...]


def check_out(git: Git, location: str, *, ref: str | None, file: str | None, offline: bool) -> Checkout:
    """Resolve, fetch, read and check. Raises SpecError, NotFoundError, UnreachableError.

    `file` is relative to what `location` names: the repository, or a folder inside of it.
    """
    if file is not None:
        _check_inside(file)
    commit = git.open(location, ref, offline=offline)
    return read_project(commit, (PurePosixPath(commit.folder) / (file or FILE)).as_posix())


def read_project(commit: Commit, file: str) -> Checkout:
    """The project whose bodywork.yaml is at `file` of a commit."""
    folder = PurePosixPath(file).parent.as_posix()
    folder = "" if folder == "." else folder
    text = _text(commit, file)
    project, warnings = read(text, file=file, files=commit.files(folder))
    source = Source(
        repository=commit.repository,
        ref=commit.ref,
        commit=commit.commit,
        file=file,
        folder=folder,
        files=commit.digest(folder, without=(file,)),
    )
    return Checkout(commit=commit, source=source, project=project, warnings=warnings)


def _text(commit: Commit, file: str) -> bytes:
    """The text of bodywork.yaml. Raises NotFoundError that says where there is one, or how to make it."""
    try:
        return commit.read(file)
    except NotFoundError as error:
        others = [path for path in commit.files() if PurePosixPath(path).name == FILE]
        hint = "write one with: bodywork init"
        if others:
            known = ", ".join(others[:5])
            hint = f"there is {known}: bodywork deploy {commit.repository} --file {others[0]}"
        raise NotFoundError(error.message, hint=hint) from None


def _check_inside(file: str) -> None:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(
            f"--file {file} is not a path inside the repository",
            hint=f"name it relative to the repository's root, like models/{FILE}",
        )


@dataclass(frozen=True, kw_only=True)
class IndexDate:
    """Whose state of the package index counts: `at` (None: as it is now), and what is to be said of it."""

    at: datetime | None
    note: str = ""
    warning: str = ""


def index_date(checkout: Checkout, as_of: datetime | None, *, tree: Path) -> IndexDate:
    """`as_of` (from the command line) wins over `resolve:` of bodywork.yaml.

    Its default is the date of the newest commit that touched bodywork.yaml or a requirements file
    that it names, with what that file includes. `tree` holds the commit's files.
    """
    resolve = checkout.project.resolve
    if as_of is not None:
        return IndexDate(at=as_of)
    if resolve == "latest":
        return IndexDate(at=None)
    if resolve != "commit":
        date = datetime.fromisoformat(resolve)
        return IndexDate(at=date if date.tzinfo else date.replace(tzinfo=UTC))
    return _date_of_commit(checkout, tree)


def _date_of_commit(checkout: Checkout, tree: Path) -> IndexDate:
    folder, commit = PurePosixPath(checkout.source.folder), checkout.commit
    asked = {stage.requirements for stage in checkout.project.all_stages}
    read = sorted({file for one in asked for file in files_read(one, tree / folder)})
    paths = [checkout.source.file, *((folder / file).as_posix() for file in read)]
    at = commit.changed(paths)
    if commit.cut_off(paths):
        warning = (
            f"this clone is shallow, its history begins on {at:%Y-%m-%d}: packages are as of that day, which "
            "may be later than in a whole clone (`git fetch --unshallow` gets the rest, --as-of names a day)"
        )
        return IndexDate(at=at, warning=warning)
    older = at.date() != commit.date().date()
    note = f"packages are as of {at:%Y-%m-%d}, when the project last changed what it asks for"
    return IndexDate(at=at, note=note if older else "")


async def lock_environments(
    environments: Environments,
    project: Project,
    *,
    tree: Path,
    folder: str,
    as_of: datetime | None,
    platform: str | None = None,
) -> dict[str, Lock]:
    """The locks of all stages, `on_failure` included, by stage name; made at the same time.

    `tree` holds the commit's files, `folder` is the project's in there; `platform` is the one that
    they are for, as uv names it (None: this machine's).
    Raises what is wrong with the first stage whose packages cannot be locked, naming that stage.
    """
    stages = project.all_stages
    # Stages that ask for the same packages share one piece of work.
    tasks: dict[object, asyncio.Task[Lock]] = {}

    async def locked(**asked: Any) -> Lock:
        lock = await environments.lock(**asked)
        await environments.check(lock)
        return lock

    def lock(stage: Stage) -> asyncio.Task[Lock]:
        notebook = stage.run.endswith(".ipynb")
        key = (stage.requirements, stage.python, notebook)
        if key not in tasks:
            work = locked(
                requirements=stage.requirements,
                python=stage.python,
                folder=tree / folder,
                as_of=as_of,
                setuptools=project.setuptools,
                notebook=notebook,
                root=tree,
                platform=platform,
            )
            tasks[key] = asyncio.ensure_future(work)
        return tasks[key]

    wanted = [(stage, lock(stage)) for stage in stages]
    try:
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    finally:
        for task in tasks.values():
            task.cancel()
    for stage, task in wanted:
        error = task.exception()
        if isinstance(error, BodyworkError):
            error.message = f"stage {stage.name}: {error.message}"
        if error is not None:
            raise error
    return {stage.name: task.result() for stage, task in wanted}
