"""What a commit says of its files, and what it writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bodywork.errors import NotFoundError, UsageError
from bodywork.git import Git

from .conftest import Repository


@pytest.fixture
def rich(repository: Repository) -> Repository:
    """Files of all kinds."""
    repository.write("data/with blanks.csv", "1,2\n")
    repository.write("größe/日本.txt", "non-ASCII")
    repository.write("binary", bytes(range(256)) * 3)
    repository.write("empty", "")
    repository.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (repository.path / "link").symlink_to("models/b.txt")
    (repository.path / "folder").symlink_to("models")
    (repository.path / "dangling").symlink_to("nowhere")
    (repository.path / "outside").symlink_to("/etc/hostname")
    (repository.path / "models/up").symlink_to("../a.txt")
    (repository.path / "loop").symlink_to("loop")
    repository.commit("rich")
    return repository


def test_read(git: Git, rich: Repository) -> None:
    commit = git.open(str(rich.path))
    assert commit.read("data/with blanks.csv") == b"1,2\n"
    assert commit.read("größe/日本.txt") == b"non-ASCII"
    assert commit.read("binary") == bytes(range(256)) * 3
    assert commit.read("empty") == b""
    assert commit.read("./models//b.txt") == b"b\n"


def test_read_through_symlinks(git: Git, rich: Repository) -> None:
    commit = git.open(str(rich.path))
    assert commit.read("link") == b"b\n"
    assert commit.read("folder/b.txt") == b"b\n"
    assert commit.read("models/up") == b"a\n"
    with pytest.raises(UsageError, match="leaves the repository"):
        commit.read("outside")
    for name in ("dangling", "loop"):
        with pytest.raises(NotFoundError, match="leads nowhere"):
            commit.read(name)


def test_read_what_is_not_there(git: Git, rich: Repository) -> None:
    commit = git.open(str(rich.path))
    with pytest.raises(NotFoundError) as caught:
        commit.read("model/b.txt")
    assert caught.value.hint == "did you mean models/b.txt?"
    with pytest.raises(NotFoundError) as caught:
        commit.read("run.sh/x")
    with pytest.raises(NotFoundError) as caught:
        commit.read("somewhere/else/run.sh")
    assert caught.value.hint == "did you mean run.sh?"


@pytest.mark.parametrize("path", ["models", "", ".", "/etc/passwd", "../x", "models/../../x", "a\nb"])
def test_read_what_is_no_file_of_the_repository(git: Git, rich: Repository, path: str) -> None:
    with pytest.raises(UsageError):
        git.open(str(rich.path)).read(path)


def test_files_of_a_folder(git: Git, rich: Repository) -> None:
    commit = git.open(str(rich.path))
    assert commit.files("models") == ("b.txt", "up")
    assert commit.files("models/") == ("b.txt", "up")
    assert "größe/日本.txt" in commit.files()
    with pytest.raises(NotFoundError) as caught:
        commit.files("modles")
    assert caught.value.hint == "did you mean models?"


def test_a_name_that_is_not_utf8(git: Git, repository: Repository, tmp_path: Path) -> None:
    name = os.fsdecode(b"latin-\xe4.txt")
    repository.write(name, "x")
    repository.commit()
    commit = git.open(str(repository.path))
    assert name in commit.files()
    assert commit.read(name) == b"x"
    commit.export(tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "x"


def test_digest(git: Git, repository: Repository) -> None:
    path = str(repository.path)
    first = git.open(path)
    whole, part = first.digest(), first.digest("models")
    without = first.digest(without=["a.txt"])
    assert len({whole, part, without}) == 3
    repository.commit("changes one file", **{"a.txt": "2"})
    second = git.open(path)
    assert second.digest() != whole
    assert second.digest("models") == part
    assert second.digest(without=["a.txt"]) == without
    assert second.digest("models", without=["models/b.txt"]) != part
    (repository.path / "models/b.txt").chmod(0o755)
    assert git.open(path).digest("models") != part
    with pytest.raises(NotFoundError):
        second.digest("nowhere")


def test_the_digest_of_a_folder_is_of_what_it_holds(git: Git, repository: Repository) -> None:
    repository.write("copy/b.txt", "b\n")
    repository.commit()
    commit = git.open(str(repository.path))
    assert commit.digest("copy") == commit.digest("models")


def test_when_files_changed(git: Git, repository: Repository) -> None:
    for day, name in ((2, "a.txt"), (3, "models/b.txt"), (4, "größe.txt"), (5, "other.txt")):
        repository.write(name, f"day {day}")
        repository.commit(date=f"2024-01-0{day}T10:00:00+0200")
    commit = git.open(str(repository.path))
    assert commit.changed(["a.txt"]).isoformat() == "2024-01-02T08:00:00+00:00"
    assert commit.changed(["models"]).day == 3
    assert commit.changed(["a.txt", "größe.txt"]).day == 4
    assert commit.changed(["nowhere"]) == commit.changed([]) == commit.date()
    assert commit.date().day == 5
    assert (
        git.open(str(repository.path), repository.git("rev-parse", "HEAD~2")).changed(["größe.txt"]).day == 3
    )


def test_a_change_that_came_by_a_merge(git: Git, repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit(date="2024-01-02T00:00:00Z", **{"side.txt": "x"})
    repository.git("checkout", "--quiet", "main")
    repository.commit(date="2024-01-03T00:00:00Z", **{"a.txt": "x"})
    repository.git("merge", "--quiet", "--no-ff", "side", "-m", "merge", date="2024-01-04T00:00:00Z")
    assert git.open(str(repository.path)).changed(["side.txt"]).day == 2


def test_pattern_characters_are_names(git: Git, repository: Repository) -> None:
    repository.write("[a]*.txt", "x")
    repository.commit(date="2024-01-02T00:00:00Z")
    repository.commit(date="2024-01-03T00:00:00Z", **{"a.txt": "x"})
    commit = git.open(str(repository.path))
    assert commit.changed(["[a]*.txt"]).day == 2
    assert commit.read("[a]*.txt") == b"x"


def test_export(git: Git, rich: Repository, tmp_path: Path) -> None:
    commit = git.open(str(rich.path))
    out = tmp_path / "some where" / "out"
    commit.export(out)
    found = sorted(
        path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir() or path.is_symlink()
    )
    assert tuple(found) == commit.files()
    assert (out / "binary").read_bytes() == bytes(range(256)) * 3
    assert (out / "run.sh").stat().st_mode & stat.S_IXUSR
    assert not (out / "a.txt").stat().st_mode & stat.S_IXUSR
    assert (out / "folder").readlink() == Path("models")
    assert not (out / ".git").exists()
    assert list(out.parent.iterdir()) == [out]


def test_export_gives_what_a_clone_gives(git: Git, repository: Repository, tmp_path: Path) -> None:
    """`git archive` would leave out the one file and rewrite the other."""
    repository.write(".gitattributes", "a.txt export-ignore\nsubst export-subst\n*.crlf text eol=crlf\n")
    repository.commit(subst="$Format:%H$", **{"x.crlf": "1\n2\n"})
    git.open(str(repository.path)).export(tmp_path / "out")
    assert (tmp_path / "out/a.txt").read_text() == "a\n"
    assert (tmp_path / "out/subst").read_text() == "$Format:%H$"
    assert (tmp_path / "out/x.crlf").read_bytes() == b"1\r\n2\r\n"


def test_export_refuses_a_folder_that_is_there(git: Git, repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        git.open(str(repository.path)).export(tmp_path / "out")


def test_export_clears_away_what_a_killed_one_left(git: Git, repository: Repository, tmp_path: Path) -> None:
    left = tmp_path / ".out.4194304.abc.part"
    left.mkdir()
    (left / "files").mkdir()
    mine = tmp_path / f".out.{os.getpid()}.abc.part"
    mine.mkdir()
    git.open(str(repository.path)).export(tmp_path / "out")
    assert not left.exists()
    assert mine.exists()


def test_an_empty_commit(git: Git, new_repository: Callable[[str], Repository], tmp_path: Path) -> None:
    repository = new_repository("empty")
    repository.commit("nothing")
    commit = git.open(str(repository.path))
    assert commit.files() == ()
    assert commit.digest()
    commit.export(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_attribute_file_of_the_user_changes_nothing(
    git: Git, repository: Repository, tmp_path: Path, machine: object
) -> None:
    home = tmp_path / "home"
    (home / "attributes").write_text("* text eol=crlf\n")
    (home / ".gitconfig").write_text(f"[core]\n\tattributesFile = {home}/attributes\n\tautocrlf = true\n")
    git.open(str(repository.path), "main").export(tmp_path / "out")
    assert (tmp_path / "out/a.txt").read_bytes() == b"a\n"
