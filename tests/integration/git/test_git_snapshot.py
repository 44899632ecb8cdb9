"""Uncommitted work as a commit: all of it, always the same one, and nothing of the user's touched."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bodywork.errors import UsageError
from bodywork.git import Git

from .conftest import Machine, Repository

LATER = datetime(2024, 6, 1, tzinfo=UTC)


def set_time(path: Path, when: datetime = LATER) -> None:
    os.utime(path, (when.timestamp(), when.timestamp()))


def state(repository: Repository) -> dict[str, bytes]:
    """All that is in .git, byte for byte."""
    root = repository.path / ".git"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_all_kinds_of_changes(git: Git, repository: Repository, tmp_path: Path) -> None:
    repository.write(".gitignore", "*.log\n")
    repository.write("tool.sh", "#!/bin/sh\n")
    repository.write("gone.txt", "gone")
    repository.write("staged.txt", "1")
    repository.commit("second")
    repository.write("a.txt", "changed\n")
    repository.write("new/ünï cödé.txt", "new")
    repository.write("debug.log", "ignored")
    repository.write("staged.txt", "2")
    repository.git("add", "staged.txt")
    repository.write("staged.txt", "3")
    (repository.path / "gone.txt").unlink()
    (repository.path / "tool.sh").chmod(0o755)
    (repository.path / "link").symlink_to("a.txt")

    commit = git.open(str(repository.path))

    assert commit.snapshot
    assert commit.changes == 6
    assert commit.ref == "main"
    assert commit.files() == (
        ".gitignore", "a.txt", "link", "models/b.txt", "new/ünï cödé.txt", "staged.txt", "tool.sh",
    )  # fmt: skip
    assert commit.read("a.txt") == b"changed\n"
    assert commit.read("staged.txt") == b"3"
    commit.export(tmp_path / "out")
    assert (tmp_path / "out/tool.sh").stat().st_mode & stat.S_IXUSR
    assert (tmp_path / "out/link").readlink() == Path("a.txt")


def test_nothing_of_the_repository_is_touched(git: Git, repository: Repository) -> None:
    repository.write("a.txt", "staged")
    repository.git("add", "a.txt")
    repository.write("a.txt", "not staged")
    repository.write("new.txt", "new")
    before, said = state(repository), repository.git("status", "--porcelain=v2", "--branch")
    before = state(repository)
    commit = git.open(str(repository.path))
    assert commit.snapshot
    assert state(repository) == before
    assert repository.git("status", "--porcelain=v2", "--branch") == said
    assert repository.git("stash", "list") == ""


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_repository_that_is_read_only(git: Git, repository: Repository) -> None:
    repository.write("a.txt", "changed")
    folders = [repository.path, *(path for path in repository.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        assert git.open(str(repository.path)).read("a.txt") == b"changed"
    finally:
        for folder in folders:
            folder.chmod(0o700)


def test_the_same_files_give_the_same_commit(git: Git, machine: Machine, repository: Repository) -> None:
    path = repository.write("a.txt", "changed")
    set_time(path)
    first = git.open(str(repository.path))
    repository.git("add", "a.txt")
    assert git.open(str(repository.path)).commit == first.commit
    repository.write("a.txt", "again")
    assert git.open(str(repository.path)).commit != first.commit
    repository.write("a.txt", "changed")
    assert git.open(str(repository.path)) == first
    shutil.rmtree(machine.cache)
    set_time(path)
    assert git.open(str(repository.path)).commit == first.commit


def test_its_date_is_that_of_the_newest_file(git: Git, repository: Repository) -> None:
    set_time(repository.write("a.txt", "changed"))
    set_time(repository.write("new.txt", "new"), LATER.replace(year=2023))
    commit = git.open(str(repository.path))
    assert commit.date() == LATER
    assert commit.changed(["a.txt"]) == LATER
    assert commit.changed(["models/b.txt"]).isoformat() == "2024-01-01T12:00:00+00:00"


def test_its_date_is_never_before_its_commit(git: Git, repository: Repository) -> None:
    set_time(repository.write("a.txt", "unpacked from an old archive"), datetime(1999, 1, 1, tzinfo=UTC))
    assert git.open(str(repository.path)).date().isoformat() == "2024-01-01T12:00:00+00:00"


def test_only_deletions(git: Git, repository: Repository) -> None:
    (repository.path / "a.txt").unlink()
    commit = git.open(str(repository.path))
    assert (commit.snapshot, commit.changes, commit.files()) == (True, 1, ("models/b.txt",))
    assert commit.date().isoformat() == "2024-01-01T12:00:00+00:00"


def test_work_that_cancels_out_is_no_change(git: Git, repository: Repository) -> None:
    repository.write("a.txt", "staged")
    repository.git("add", "a.txt")
    repository.write("a.txt", "a\n")
    commit = git.open(str(repository.path))
    assert not commit.snapshot
    assert commit.commit == repository.git("rev-parse", "HEAD")


def test_a_touched_file_is_no_change(git: Git, repository: Repository) -> None:
    set_time(repository.path / "a.txt")
    assert not git.open(str(repository.path)).snapshot


def test_before_the_first_commit(git: Git, new_repository: Callable[[str], Repository]) -> None:
    repository = new_repository("fresh")
    set_time(repository.write("a.txt", "a"))
    commit = git.open(str(repository.path))
    assert (commit.snapshot, commit.changes, commit.ref) == (True, 1, "main")
    assert commit.read("a.txt") == b"a"
    assert commit.date() == LATER
    assert git.open(str(repository.path)) == commit


def test_on_no_branch(git: Git, repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--detach")
    assert git.open(str(repository.path)).ref == "HEAD"
    repository.write("a.txt", "changed")
    commit = git.open(str(repository.path))
    assert (commit.ref, commit.snapshot) == ("HEAD", True)


def test_a_ref_means_what_is_committed(git: Git, repository: Repository) -> None:
    repository.write("a.txt", "changed")
    commit = git.open(str(repository.path), "main")
    assert not commit.snapshot
    assert commit.read("a.txt") == b"a\n"


def test_it_outlives_the_work_and_the_repository(git: Git, repository: Repository) -> None:
    repository.write("a.txt", "changed")
    repository.git("add", "a.txt")
    commit = git.open(str(repository.path))
    repository.git("checkout", "--quiet", "--force", "HEAD")
    repository.git("gc", "--quiet", "--prune=now")
    again = git.open(str(repository.path), commit.commit)
    assert (again.snapshot, again.changes) == (True, 1)
    assert again.read("a.txt") == b"changed"
    shutil.rmtree(repository.path)
    assert git.open(str(repository.path), commit.commit).read("a.txt") == b"changed"


def test_what_git_knew_already_is_in_it_too(git: Git, machine: Machine, repository: Repository) -> None:
    """Objects that the user's repository holds without any commit must still reach the mirror."""
    repository.write("deep/er/c.txt", "c")
    repository.git("add", "--all")
    repository.git("write-tree")
    repository.git("stash", "--quiet")
    repository.git("stash", "apply", "--quiet", "--index")
    commit = git.open(str(repository.path))
    shutil.rmtree(repository.path)
    assert commit.read("deep/er/c.txt") == b"c"
    mirror = next((machine.cache / "mirrors").glob("*.git"))
    Repository(mirror, machine.environment).git("fsck", "--full", "--strict")


def test_another_repository_inside(git: Git, machine: Machine, repository: Repository) -> None:
    inner = Repository(repository.path / "inner", machine.environment)
    inner.path.mkdir()
    inner.git("init", "--quiet")
    with pytest.raises(UsageError) as caught:
        git.open(str(repository.path))
    assert ".gitignore" in (caught.value.hint or "")
    inner.commit(**{"x.txt": "x"})
    assert git.open(str(repository.path)).files() == ("a.txt", "models/b.txt")


def test_during_a_merge_conflict(git: Git, repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit(**{"a.txt": "side\n"})
    repository.git("checkout", "--quiet", "main")
    repository.commit(**{"a.txt": "main\n"})
    with pytest.raises(AssertionError):
        repository.git("merge", "side")
    assert b"<<<<<<<" in git.open(str(repository.path)).read("a.txt")


def test_a_filter_of_the_user_is_applied(git: Git, repository: Repository) -> None:
    repository.git("config", "filter.upper.clean", "tr a-z A-Z")
    repository.write(".gitattributes", "*.up filter=upper\n")
    repository.write("x.up", "text")
    assert git.open(str(repository.path)).read("x.up") == b"TEXT"


def test_hooks_and_monitors_do_not_run(git: Git, repository: Repository, tmp_path: Path) -> None:
    hook = repository.write(".git/hooks/post-index-change", f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    monitor = repository.write(".git/monitor", f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    monitor.chmod(0o755)
    repository.git("config", "core.fsmonitor", str(monitor))
    (tmp_path / "ran").unlink(missing_ok=True)
    repository.write("a.txt", "changed")
    assert git.open(str(repository.path)).snapshot
    assert not (tmp_path / "ran").exists()


def test_settings_of_the_user_that_change_what_git_prints(
    git: Git, machine: Machine, repository: Repository
) -> None:
    (machine.home / ".gitconfig").write_text(
        "[status]\n\tshowUntrackedFiles = no\n\trelativePaths = true\n\tbranch = true\n\tshowStash = true\n"
        "[diff]\n\trenames = copies\n\tnoprefix = true\n[color]\n\tui = always\n"
        "[log]\n\tshowSignature = true\n"
        "[core]\n\tquotePath = true\n\tsplitIndex = true\n\tuntrackedCache = true\n\tautocrlf = input\n"
        "[fetch]\n\tprune = true\n\tpruneTags = true\n[submodule]\n\trecurse = true\n"
        "[commit]\n\tgpgSign = true\n"
        "[core]\n\tpager = false\n[index]\n\tversion = 4\n[protocol]\n\tversion = 0\n"
    )
    repository.write("größe.txt", "new")
    commit = git.open(str(repository.path / "models"))
    assert commit.changes == 1
    assert commit.files() == ("a.txt", "größe.txt", "models/b.txt")
    assert commit.changed(["a.txt"]).isoformat() == "2024-01-01T12:00:00+00:00"


def test_a_change_in_the_second_of_the_commit(git: Git, repository: Repository, tmp_path: Path) -> None:
    """Same size, same second: that it changed shows only because the index is no younger than the file."""
    repository.git("config", "core.trustctime", "false")
    repository.write("model.txt", "the contents")
    set_time(repository.path / "model.txt")
    repository.commit("model")
    set_time(repository.path / ".git/index")
    repository.write("model.txt", "new contents")
    set_time(repository.path / "model.txt")
    git.open(str(repository.path)).export(tmp_path / "out")
    assert (tmp_path / "out/model.txt").read_text() == "new contents"
