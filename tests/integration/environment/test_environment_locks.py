"""Locks: of a date, the same twice, without network, of the project itself, and why there is none."""

from __future__ import annotations

import asyncio
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bodywork.environment import Environments
from bodywork.errors import MachineError, NotFoundError, ResolutionError, UnreachableError
from bodywork.process import run
from bodywork.spec.model import Requirements
from integration.environment.local_index import OURS, Index, Make, python, wheel

JUNE = datetime(2022, 6, 1, tzinfo=UTC)
"""Flask 2.1.2 was new, and Werkzeug 2.2 was not there yet."""


def packages(*lines: str) -> Requirements:
    return Requirements(packages=lines)


async def refused(made: Environments, requirements: Requirements, folder: Path, **asked: object) -> str:
    """Message and hint of the refusal."""
    question = {"python": OURS, "as_of": None, **asked}
    with pytest.raises(ResolutionError) as caught:
        await made.lock(requirements, folder=folder, **question)  # type: ignore[arg-type]
    assert caught.value.hint
    return f"{caught.value.message}\nhint: {caught.value.hint}"


@pytest.mark.network
async def test_unpinned_dependencies_are_those_of_the_date(environments: Make, project: Path):
    lock = await environments().lock(packages("flask==2.1.2"), python=OURS, folder=project, as_of=JUNE)

    assert "\nwerkzeug==2.1.2 --hash=sha256:" in lock.text
    assert lock.hashed
    assert lock.as_of == JUNE
    assert lock.warnings == ()


@pytest.mark.network
async def test_the_same_question_has_the_same_digest_also_on_another_machine(
    environments: Make, project: Path, tmp_path: Path
):
    first = await environments().lock(packages("flask==2.1.2"), python=OURS, folder=project, as_of=JUNE)
    elsewhere = Environments(locks=tmp_path / "other", cache=tmp_path / "other-cache")
    second = await elsewhere.lock(packages("flask==2.1.2"), python=OURS, folder=project, as_of=JUNE)

    assert first.digest == second.digest
    assert environments().load(first.digest) == first


@pytest.mark.network
async def test_packages_can_be_for_another_platform(environments: Make, project: Path):
    """Deployed from one kind of machine into a cluster of another, stages get what the cluster needs."""
    wanted = packages("click==8.1.8", "markupsafe==3.0.2")  # click asks for colorama on Windows alone
    made = environments()
    here = await made.lock(wanted, python=OURS, folder=project, as_of=None)
    there = await made.lock(
        wanted, python=OURS, folder=project, as_of=None, platform="x86_64-pc-windows-msvc"
    )

    assert "colorama" not in here.text and "colorama" in there.text
    assert here.digest != there.digest


@pytest.mark.network
async def test_a_release_of_later_is_named_with_its_day(environments: Make, project: Path):
    said = await refused(environments(), packages("scikit-learn==1.7.2"), project, as_of=JUNE)

    assert "because there is no version of scikit-learn==1.7.2" in said.lower()
    assert "scikit-learn 1.7.2 was published on 2025-09-09" in said
    assert "--as-of 2025-09-10" in said
    assert "resolve: latest" in said


@pytest.mark.network
async def test_old_forms_get_the_setuptools_of_their_time(environments: Make, project: Path):
    lock = await environments().lock(
        packages("six"), python=OURS, folder=project, as_of=JUNE, setuptools=True
    )

    assert "setuptools==62.3.2 " in lock.text


@pytest.mark.network
async def test_latest_has_a_setuptools_that_old_packages_can_use(environments: Make, project: Path):
    made = environments()
    lock = await made.lock(Requirements(), python=OURS, folder=project, as_of=None, setuptools=True)

    assert python(await made.build(lock), "import pkg_resources")


async def test_an_answer_is_remembered_without_network(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    first = await local().lock(packages("tiny"), python=OURS, folder=project, as_of=JUNE)
    index.stop()
    second = await local(offline=True).lock(packages("tiny"), python=OURS, folder=project, as_of=JUNE)

    assert second == first


async def test_an_index_without_upload_times_is_used_as_it_is_with_a_warning(
    local: Make, index: Index, project: Path
):
    index.add("tiny", "1.0", needs="deeper")
    index.add("deeper", "3.0")

    lock = await local().lock(packages("tiny"), python=OURS, folder=project, as_of=JUNE)

    assert [line.split(" ")[0] for line in lock.text.splitlines()] == ["deeper==3.0", "tiny==1.0"]
    assert lock.as_of is None
    assert lock.warnings == (
        "the package index gives no upload times for deeper, tiny: locked as of now, not as of 2022-06-01",
    )
    assert python(await local().build(lock), "import tiny, deeper; print(tiny.VERSION)").stdout == "1.0\n"


async def test_latest_is_asked_anew_by_each_command_but_once_in_it(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    command = local(UV_NO_CACHE="1")
    first = await command.lock(packages("tiny"), python=OURS, folder=project, as_of=None)
    index.add("tiny", "2.0")

    again = await command.lock(packages("tiny"), python=OURS, folder=project, as_of=None)
    later = await local(UV_NO_CACHE="1").lock(packages("tiny"), python=OURS, folder=project, as_of=None)

    assert again == first
    assert "tiny==2.0" in later.text


async def test_latest_without_an_index_is_the_latest_that_is_known_and_says_so(
    local: Make, index: Index, project: Path
):
    index.add("tiny", "1.0")
    first = await local().lock(packages("tiny"), python=OURS, folder=project, as_of=None)
    index.stop()

    again = await local(UV_NO_CACHE="1").lock(packages("tiny"), python=OURS, folder=project, as_of=None)

    assert again.digest == first.digest
    assert "out of reach" in again.warnings[0]


async def test_an_index_out_of_reach(local: Make, index: Index, project: Path):
    index.stop()

    with pytest.raises(UnreachableError, match="package index cannot be reached") as caught:
        await local().lock(packages("tiny"), python=OURS, folder=project, as_of=JUNE)

    assert "try again" in str(caught.value.hint)


async def test_without_network_and_never_seen(local: Make, project: Path):
    with pytest.raises(UnreachableError, match="network is switched off"):
        await local(offline=True).lock(packages("tiny"), python=OURS, folder=project, as_of=JUNE)


async def test_a_conflict_shows_uvs_own_explanation(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0", needs="deeper>=3")
    index.add("deeper", "2.0")
    index.add("deeper", "3.0")

    said = await refused(local(), packages("tiny", "deeper<3"), project)

    assert "no packages fit tiny, deeper<3 for Python" in said
    assert "depend on deeper>=3" in said
    assert "hint: loosen or correct" in said


async def test_an_unknown_package_is_named(local: Make, project: Path):
    said = await refused(local(), packages("tinny"), project)

    assert "tinny was not found in the package registry" in said
    assert "is tinny spelt right?" in said


async def test_a_requirement_that_is_none_is_shown(local: Make, project: Path):
    (project / "requirements.txt").write_text("tiny=1.0\n")

    said = await refused(local(), Requirements(file="requirements.txt"), project)

    assert "Couldn't parse requirement in `requirements.txt`" in said
    assert "tiny=1.0" in said


async def test_no_packages_need_neither_uv_nor_index(local: Make, index: Index, project: Path):
    index.stop()

    lock = await local(offline=True, PATH="").lock(Requirements(), python=OURS, folder=project, as_of=JUNE)

    assert (lock.text, lock.as_of, lock.warnings) == ("", None, ())


async def test_a_project_with_hashes_is_taken_at_its_word(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    index.add("tiny", "2.0")
    own = await local().lock(packages("tiny==1.0"), python=OURS, folder=project, as_of=None)
    (project / "requirements.txt").write_text("# ours\n" + own.text.replace(" --hash", " \\\n    --hash"))
    index.stop()

    lock = await local().lock(Requirements(file="requirements.txt"), python=OURS, folder=project, as_of=JUNE)

    assert (lock.digest, lock.text, lock.as_of) == (own.digest, own.text, None)


async def test_what_a_notebook_needs_is_added_to_the_projects_lock(local: Make, index: Index, project: Path):
    index.add("deeper", "1.0")
    own = await local().lock(packages("deeper"), python=OURS, folder=project, as_of=None)
    (project / "requirements.txt").write_text(own.text)
    index.add("deeper", "2.0")
    index.add("nbclient", "1.0", needs="deeper")
    index.add("ipykernel", "1.0")

    lock = await local(UV_NO_CACHE="1").lock(
        Requirements(file="requirements.txt"), python=OURS, folder=project, as_of=JUNE, notebook=True
    )

    names = [line.split(" ")[0] for line in lock.text.splitlines()]
    assert names == ["deeper==1.0", "ipykernel==1.0", "nbclient==1.0"]


async def test_included_files_and_constraints_count(local: Make, index: Index, project: Path):
    for version in ("1.0", "2.0", "3.0"):
        index.add("tiny", version)
    (project / "requirements").mkdir()
    (project / "requirements" / "train.txt").write_text("-r base.txt\n-c limits.txt\n")
    (project / "requirements" / "base.txt").write_text("tiny\n")
    (project / "requirements" / "limits.txt").write_text("tiny<3\n")

    lock = await local().lock(
        Requirements(file="requirements/train.txt"), python=OURS, folder=project, as_of=None
    )

    assert lock.text.startswith("tiny==2.0 ")


async def test_a_pyproject_is_resolved_without_the_project_itself(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\ndependencies = ["tiny"]\n')

    lock = await local().lock(Requirements(file="pyproject.toml"), python=OURS, folder=project, as_of=None)

    assert [line.split(" ")[0] for line in lock.text.splitlines()] == ["tiny==1.0"]


async def test_a_uv_lock_is_exported_and_holds(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "p"\nversion = "1"\nrequires-python = ">={OURS}"\ndependencies = ["tiny"]\n'
        f'[[tool.uv.index]]\nname = "ours"\nurl = "{index.url}"\n'
    )
    uv = str(Path(sys.executable).with_name("uv"))
    run([uv, "lock", "--no-cache", "--python", sys.executable], cwd=project)
    index.add("tiny", "2.0")

    # Whoever builds it later has no pyproject.toml at hand: the lock names the project's index.
    (index.folder / "empty").mkdir()
    made = local(UV_DEFAULT_INDEX=f"{index.url}/empty")
    lock = await made.lock(Requirements(file="uv.lock"), python=OURS, folder=project, as_of=JUNE)
    shutil.rmtree(project)

    assert lock.hashed
    assert lock.as_of is None
    assert python(await made.build(lock), "import tiny; print(tiny.VERSION)").stdout == "1.0\n"


async def test_a_pylock_is_installed_as_it_is(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    (project / "requirements.in").write_text("tiny\n")
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", "--no-cache", "--format", "pylock.toml", "-o", "pylock.toml"]
    run([*command, "--default-index", index.url, "--python", sys.executable, "requirements.in"], cwd=project)
    index.add("tiny", "2.0")

    lock = await local().lock(Requirements(file="pylock.toml"), python=OURS, folder=project, as_of=JUNE)

    assert lock.form == "pylock"
    assert python(await local().build(lock), "import tiny; print(tiny.VERSION)").stdout == "1.0\n"


async def test_a_package_by_path_is_kept_with_the_lock(local: Make, project: Path):
    (project / "lib").mkdir()
    (project / "wheels").mkdir()
    made = wheel(project / "wheels", "tiny", "1.0")

    lock = await local().lock(packages(f"./wheels/{made.name}"), python=OURS, folder=project, as_of=JUNE)
    shutil.rmtree(project)

    assert lock.hashed
    assert str(project) not in lock.text
    assert python(await local().build(lock), "import tiny; print(tiny.VERSION)").stdout == "1.0\n"


async def test_a_folder_of_wheels_in_the_project_is_kept_with_the_lock(local: Make, project: Path):
    (project / "wheels").mkdir()
    wheel(project / "wheels", "tiny", "1.0")
    (project / "requirements.txt").write_text("--no-index\n--find-links wheels\ntiny\n")

    lock = await local().lock(Requirements(file="requirements.txt"), python=OURS, folder=project, as_of=JUNE)
    shutil.rmtree(project)

    assert python(await local().build(lock), "import tiny; print(tiny.VERSION)").stdout == "1.0\n"


@pytest.mark.network
async def test_the_projects_own_package_is_built_once_and_the_same_each_time(
    environments: Make, project: Path, tmp_path: Path
):
    (project / "lib").mkdir()
    (project / "lib" / "lib.py").write_text("VERSION = 7\n")
    (project / "lib" / "pyproject.toml").write_text(
        '[project]\nname = "lib"\nversion = "1"\n[build-system]\nrequires = ["setuptools"]\n'
        'build-backend = "setuptools.build_meta"\n[tool.setuptools]\npy-modules = ["lib"]\n'
    )
    asked = packages("-e ./lib")
    first = await environments().lock(asked, python=OURS, folder=project, as_of=JUNE)
    before = sorted(path.name for path in (project / "lib").iterdir())
    shutil.copytree(project, tmp_path / "copy")
    shutil.rmtree(tmp_path / "cache")
    second = await environments().lock(asked, python=OURS, folder=tmp_path / "copy", as_of=JUNE)
    shutil.rmtree(project)

    assert first.digest == second.digest
    assert before == ["lib.py", "pyproject.toml"]
    assert python(await environments().build(first), "import lib; print(lib.VERSION)").stdout == "7\n"


@pytest.mark.network
@pytest.mark.parametrize("asked", ["-e .", "../lib"])
async def test_the_projects_files_are_as_before_when_its_packages_have_a_setup_py(
    environments: Make, project: Path, asked: str
):
    for folder in (project / "app", project / "lib"):
        folder.mkdir()
        (folder / "setup.py").write_text(
            "import setuptools\nopen('stamp.txt', 'w').close()\n"
            f"setuptools.setup(name={folder.name!r}, version='1', py_modules=[])\n"
        )
    (project / "app" / "requirements.txt").write_text(f"{asked}\nsix\n")
    before = sorted(project.rglob("*"))

    def lock() -> Any:
        requirements = Requirements(file="requirements.txt")
        made = environments(UV_OFFLINE="1") if (project.parent / "locks").exists() else environments()
        return made.lock(requirements, python=OURS, folder=project / "app", as_of=JUNE, root=project)

    first = await lock()

    assert sorted(project.rglob("*")) == before
    assert "six==1.16.0" in first.text and "bodywork-lock" not in first.text
    assert (await lock()).digest == first.digest


@pytest.mark.network
async def test_a_package_from_git_is_pinned_to_its_commit(environments: Make, project: Path, tmp_path: Path):
    source = tmp_path / "lib"
    source.mkdir()
    (source / "lib.py").write_text("VERSION = 1\n")
    (source / "pyproject.toml").write_text(
        '[project]\nname = "lib"\nversion = "1"\n[build-system]\nrequires = ["setuptools"]\n'
        'build-backend = "setuptools.build_meta"\n[tool.setuptools]\npy-modules = ["lib"]\n'
    )
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    run([*git, "init", "--quiet", "--initial-branch", "main"], cwd=source)
    run([*git, "add", "."], cwd=source)
    run([*git, "commit", "--quiet", "-m", "one"], cwd=source)
    commit = run(["git", "rev-parse", "HEAD"], cwd=source).stdout.strip()

    asked = packages(f"git+file://{source}@main", "six")
    lock = await environments().lock(asked, python=OURS, folder=project, as_of=JUNE)

    assert f"@{commit}\n" in lock.text
    assert not lock.hashed
    assert python(await environments().build(lock), "import lib, six; print(lib.VERSION)").stdout == "1\n"


async def test_many_who_ask_at_once_get_one_answer(local: Make, index: Index, project: Path):
    index.add("tiny", "1.0")
    askers = [local() for _ in range(5)]

    locks = await asyncio.gather(
        *(
            asker.lock(packages("tiny"), python=OURS, folder=project, as_of=JUNE)
            for asker in askers
            for _ in range(4)
        )
    )

    assert len({lock.digest for lock in locks}) == 1


async def test_a_python_that_is_not_there_says_which_are(local: Make, project: Path):
    with pytest.raises(MachineError) as caught:
        await local().lock(packages("tiny"), python="3.19", folder=project, as_of=None)

    assert caught.value.message.startswith("Python 3.19 is not on this machine (found: ")
    assert f"{OURS}.{sys.version_info[2]}" in caught.value.message
    assert "uv python install 3.19" in str(caught.value.hint)


async def test_a_python_is_found_behind_a_shim_that_fails(local: Make, tmp_path: Path, project: Path):
    """A shim on PATH fails, as pyenv's do where their version is not selected."""
    shims, pyenv = tmp_path / "shims", tmp_path / "pyenv"
    real = pyenv / "versions" / f"{OURS}.99" / "bin"
    for folder in (shims, real):
        folder.mkdir(parents=True)
    (shims / f"python{OURS}").write_text("#!/bin/sh\necho 'not selected' >&2\nexit 127\n")
    (shims / f"python{OURS}").chmod(0o755)
    (real / f"python{OURS}").symlink_to(getattr(sys, "_base_executable", sys.executable))
    made = local(PATH=str(shims), PYENV_ROOT=str(pyenv), HOME=str(tmp_path))

    lock = await made.lock(Requirements(), python=OURS, folder=project, as_of=None)

    assert python(await made.build(lock), "import sys; print(sys.version_info[:2])")


async def test_a_lock_that_is_not_kept(local: Make):
    with pytest.raises(NotFoundError, match="there is no lock 0123"):
        local().load("0123456789")


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, project: Path):
    (tmp_path / "file").write_text("")
    made = Environments(locks=tmp_path / "locks", cache=tmp_path / "file" / "cache")

    with pytest.raises(MachineError, match=r"cannot write in .*file/cache/locks") as caught:
        await made.lock(Requirements(), python=OURS, folder=project, as_of=None)

    assert "XDG_CACHE_HOME" in str(caught.value.hint)
