"""Submodules at their recorded commits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bodywork.errors import MachineError, NotFoundError, UsageError
from bodywork.git import Git

from .conftest import Machine, Repository, WebServer

New = Callable[[str], Repository]


@pytest.fixture
def library(new_repository: New) -> Repository:
    library = new_repository("library")
    library.commit(**{"lib.py": "1\n"})
    return library


def test_of_a_working_tree(git: Git, repository: Repository, library: Repository, tmp_path: Path) -> None:
    repository.git("submodule", "--quiet", "add", str(library.path), "vendor/lib")
    repository.commit("with submodule")
    library.commit("newer", **{"lib.py": "2\n"})
    commit = git.open(str(repository.path))
    assert not commit.snapshot
    assert commit.files() == (".gitmodules", "a.txt", "models/b.txt", "vendor/lib/lib.py")
    assert commit.files("vendor") == ("lib/lib.py",)
    assert commit.read("vendor/lib/lib.py") == b"1\n"
    assert commit.digest("vendor/lib") != commit.digest("vendor")
    with pytest.raises(UsageError, match="is a folder"):
        commit.read("vendor/lib")
    shutil.rmtree(library.path)
    shutil.rmtree(repository.path)
    again = git.open(str(repository.path), commit.commit)
    again.export(tmp_path / "out")
    assert (tmp_path / "out/vendor/lib/lib.py").read_text() == "1\n"
    assert not list((tmp_path / "out").rglob(".git"))


def test_commits_of_a_submodule_that_were_not_pushed(
    git: Git, repository: Repository, library: Repository
) -> None:
    repository.git("submodule", "--quiet", "add", str(library.path), "lib")
    repository.commit("with submodule")
    inner = Repository(repository.path / "lib", repository._environment)
    inner.commit("only here", **{"lib.py": "mine\n"})
    commit = git.open(str(repository.path))
    assert (commit.snapshot, commit.changes) == (True, 1)
    assert commit.read("lib/lib.py") == b"mine\n"


def test_uncommitted_work_in_a_submodule_is_left_out_aloud(
    git: Git, machine: Machine, repository: Repository, library: Repository
) -> None:
    repository.git("submodule", "--quiet", "add", str(library.path), "lib")
    repository.commit("with submodule")
    repository.write("lib/lib.py", "not committed")
    commit = git.open(str(repository.path))
    assert not commit.snapshot
    assert commit.read("lib/lib.py") == b"1\n"
    assert any("submodule lib has uncommitted changes" in line for line in machine.told)


def test_nested_with_relative_addresses(
    git: Git, new_repository: New, repository: Repository, library: Repository, tmp_path: Path
) -> None:
    middle = new_repository("middle")
    middle.commit(**{"m.txt": "m"})
    middle.git("submodule", "--quiet", "add", "../library", "lib")
    middle.commit("with submodule")
    repository.git("submodule", "--quiet", "add", "../middle", "middle")
    repository.commit("with submodule")
    commit = git.open(f"file://{repository.path}")
    assert commit.read("middle/lib/lib.py") == b"1\n"
    assert "middle/lib/lib.py" in commit.files()
    commit.export(tmp_path / "out")
    assert (tmp_path / "out/middle/lib/lib.py").read_text() == "1\n"


def test_of_a_host(
    git: Git,
    repository: Repository,
    library: Repository,
    publish: Callable[..., Path],
    web: WebServer,
    tmp_path: Path,
) -> None:
    publish(library, "library.git")
    repository.git("submodule", "--quiet", "add", str(library.path), "lib")
    repository.write(".gitmodules", '[submodule "lib"]\n\tpath = lib\n\turl = ../library.git\n')
    repository.commit("with submodule")
    publish(repository)
    web.user, web.password = "me", "secret"
    commit = git.open(web.url("project.git", "me:secret@"))
    web.broken = True
    commit.export(tmp_path / "out")
    assert (tmp_path / "out/lib/lib.py").read_text() == "1\n"
    assert git.open(web.url("project.git"), commit.commit).read("lib/lib.py") == b"1\n"


def test_of_a_host_may_not_lie_on_this_machine(
    git: Git, repository: Repository, library: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    repository.git("submodule", "--quiet", "add", str(library.path), "lib")
    repository.commit("with submodule")
    publish(repository)
    with pytest.raises(UsageError, match=r"submodule lib of .* on this machine"):
        git.open(web.url("project.git"))


@pytest.mark.parametrize("url", ["ext::sh -c 'touch {}/x'", "--upload-pack=touch {}/x", "-x"])
def test_addresses_that_run_programs(
    git: Git, repository: Repository, library: Repository, tmp_path: Path, url: str
) -> None:
    repository.git("submodule", "--quiet", "add", str(library.path), "lib")
    repository.write(".gitmodules", f'[submodule "lib"]\n\tpath = lib\n\turl = "{url.format(tmp_path)}"\n')
    repository.commit("bad")
    with pytest.raises(UsageError):
        git.open(f"file://{repository.path}")
    assert not (tmp_path / "x").exists()


def test_that_cannot_be_had(git: Git, repository: Repository, library: Repository) -> None:
    repository.git("submodule", "--quiet", "add", str(library.path), "lib")
    repository.commit("with submodule")
    shutil.rmtree(library.path)
    with pytest.raises(NotFoundError, match="submodule lib of "):
        git.open(f"file://{repository.path}")


def test_a_repository_recorded_without_gitmodules_is_an_empty_folder(
    git: Git, repository: Repository, library: Repository, tmp_path: Path
) -> None:
    shutil.copytree(library.path, repository.path / "copied")
    repository.commit("added by mistake")
    commit = git.open(str(repository.path))
    assert commit.files() == ("a.txt", "models/b.txt")
    commit.export(tmp_path / "out")
    assert list((tmp_path / "out/copied").iterdir()) == []


def test_a_repository_that_has_itself_inside(git: Git, repository: Repository) -> None:
    repository.git("submodule", "--quiet", "add", str(repository.path), "self")
    repository.commit("itself")
    commit = git.open(f"file://{repository.path}")
    assert commit.read("self/a.txt") == b"a\n"


LFS = shutil.which("git-lfs") is not None


def test_lfs_is_missing(machine: Machine, repository: Repository, tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    repository.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repository.write("model.bin", pointer)
    repository.commit("lfs")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("git", "sh"):
        (folder / name).symlink_to(str(shutil.which(name)))
    commit = machine.open_git(PATH=str(folder)).open(str(repository.path))
    assert commit.files() == (".gitattributes", "a.txt", "model.bin", "models/b.txt")
    with pytest.raises(MachineError) as caught:
        commit.export(tmp_path / "out")
    assert "git-lfs" in (caught.value.hint or "")
    assert not (tmp_path / "out").exists()


def test_attributes_for_lfs_without_any_file_in_it(
    machine: Machine, repository: Repository, tmp_path: Path
) -> None:
    repository.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repository.commit("no lfs")
    machine.open_git().open(str(repository.path)).export(tmp_path / "out")


@pytest.mark.skipif(not LFS, reason="git-lfs is not installed")
def test_lfs(git: Git, repository: Repository, tmp_path: Path) -> None:
    repository.git("lfs", "install", "--local")
    repository.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repository.write("model.bin", "the contents")
    repository.commit("lfs")
    commit = git.open(str(repository.path))
    commit.export(tmp_path / "out")
    assert (tmp_path / "out/model.bin").read_text() == "the contents"
    repository.write("model.bin", "new contents")
    git.open(str(repository.path)).export(tmp_path / "snapshot")
    assert (tmp_path / "snapshot/model.bin").read_text() == "new contents"
    shutil.rmtree(repository.path)
    git.open(str(repository.path), commit.commit).export(tmp_path / "again")
    assert (tmp_path / "again/model.bin").read_text() == "the contents"
