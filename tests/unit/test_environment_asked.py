"""What makes two questions for packages the same, and which files can be read."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bodywork.environment.asked import Asked, read
from bodywork.environment.lock import digest_of
from bodywork.errors import NotFoundError, ResolutionError
from bodywork.spec.model import Requirements

JUNE = datetime(2022, 6, 1, tzinfo=UTC)
JULY = datetime(2022, 7, 1, tzinfo=UTC)


def ask(
    folder: Path,
    *packages: str,
    file: str | None = None,
    python: str = "3.12",
    as_of: datetime | None = JUNE,
    setuptools: bool = False,
    notebook: bool = False,
) -> Asked:
    return read(
        Requirements(packages=packages, file=file),
        python=python,
        folder=folder,
        as_of=as_of,
        setuptools=setuptools,
        notebook=notebook,
    )


def test_each_part_of_the_question_counts(tmp_path: Path):
    keys = {
        ask(tmp_path, "flask").key,
        ask(tmp_path, "flask", "numpy").key,
        ask(tmp_path, "flask", python="3.11").key,
        ask(tmp_path, "flask", as_of=JULY).key,
        ask(tmp_path, "flask", as_of=None).key,
        ask(tmp_path, "flask", setuptools=True).key,
        ask(tmp_path, "flask", notebook=True).key,
    }

    assert len(keys) == 7


def test_comments_and_blanks_do_not_count(tmp_path: Path):
    (tmp_path / "requirements.txt").write_text("# for the web\n\nflask\n")
    first = ask(tmp_path, file="requirements.txt").key
    (tmp_path / "requirements.txt").write_text("flask  # web\r\n")

    assert ask(tmp_path, file="requirements.txt").key == first


def test_an_included_file_counts(tmp_path: Path):
    (tmp_path / "requirements.txt").write_text("-r more.txt\n")
    (tmp_path / "more.txt").write_text("flask\n")
    first = ask(tmp_path, file="requirements.txt").key
    (tmp_path / "more.txt").write_text("flask<3\n")

    assert ask(tmp_path, file="requirements.txt").key != first


def test_the_files_of_a_package_by_path_count(tmp_path: Path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "lib.py").write_text("X = 1\n")
    first = ask(tmp_path, "./lib").key
    (tmp_path / "lib" / "lib.py").write_text("X = 2\n")

    assert ask(tmp_path, "./lib").key != first


def test_a_package_by_path_that_is_not_there(tmp_path: Path):
    with pytest.raises(NotFoundError, match="lib, which is not in the project"):
        ask(tmp_path, "./lib")


def test_no_packages_at_all_need_no_index(tmp_path: Path):
    asked = ask(tmp_path)

    assert asked.empty
    assert not asked.resolves
    assert asked.key == ask(tmp_path, as_of=JULY).key


def test_hashed_requirements_need_no_index(tmp_path: Path):
    (tmp_path / "requirements.txt").write_text("flask==2.1.2 \\\n  --hash=sha256:00\n")

    asked = ask(tmp_path, file="requirements.txt")

    assert asked.way == "hashed"
    assert not asked.resolves


def test_what_is_asked_for_already_is_not_added(tmp_path: Path):
    asked = ask(tmp_path, "setuptools==60", "NBClient", setuptools=True, notebook=True)

    assert asked.extra == ("ipykernel",)


def test_a_uv_lock_needs_its_project(tmp_path: Path):
    (tmp_path / "uv.lock").write_text("version = 1\n")

    with pytest.raises(NotFoundError, match=r"uv\.lock: there is no pyproject\.toml beside it"):
        ask(tmp_path, file="uv.lock")


def test_a_file_of_another_kind_is_refused_with_what_can_be_read(tmp_path: Path):
    (tmp_path / "environment.yml").write_text("name: x\n")

    with pytest.raises(ResolutionError) as caught:
        ask(tmp_path, file="environment.yml")

    assert "pyproject.toml" in str(caught.value.hint)


def test_broken_toml_is_named(tmp_path: Path):
    (tmp_path / "pylock.toml").write_text("[[packages\n")

    with pytest.raises(ResolutionError, match=r"pylock\.toml: is not TOML"):
        ask(tmp_path, file="pylock.toml")


def test_a_pylock_with_paths_is_refused(tmp_path: Path):
    (tmp_path / "pylock.toml").write_text('[[packages]]\nname = "lib"\ndirectory = {path = "lib"}\n')

    with pytest.raises(ResolutionError, match="package lib is a path"):
        ask(tmp_path, file="pylock.toml")


def test_the_projects_own_indexes_are_known(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = []\n'
        '[[tool.uv.index]]\nname = "ours"\nurl = "https://packages.example/simple"\n'
    )

    assert ask(tmp_path, file="pyproject.toml").indexes == (
        "--extra-index-url https://packages.example/simple",
    )


def test_a_digest_is_of_packages_and_python():
    assert digest_of(python="3.12", text="a==1\n") == digest_of(python="3.12", text="a==1\n")
    assert digest_of(python="3.12", text="a==1\n") != digest_of(python="3.11", text="a==1\n")
    assert len(digest_of(python="3.12", text="")) == 64
