"""Requirement files as people write them."""

from pathlib import Path

import pytest

from bodywork.environment.requirement import (
    Lines,
    local_path,
    logical,
    name_of,
    read_file,
    read_lines,
    tree_digest,
)
from bodywork.errors import NotFoundError, ResolutionError


def test_comments_blanks_and_continued_lines_are_put_right():
    text = "flask==2.1.2 \\\r\n  --hash=sha256:aa \\\r\n  --hash=sha256:bb  # web\r\n\r\n# none\r\n  numpy  "

    assert list(logical(text)) == ["flask==2.1.2 --hash=sha256:aa --hash=sha256:bb", "numpy"]


def test_a_fragment_of_an_address_is_no_comment():
    line = "git+https://example.org/x.git@main#subdirectory=lib"

    assert list(logical(line)) == [line]


def test_included_files_are_read_relative_to_the_including_one(tmp_path: Path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "train.txt").write_text("-r base.txt\n-c=limits.txt\nscikit-learn\n")
    (tmp_path / "requirements" / "base.txt").write_text("-r train.txt\nnumpy\n")
    (tmp_path / "requirements" / "limits.txt").write_text("numpy<2\n")

    found = read_file(tmp_path, "requirements/train.txt")

    files = tuple(f"requirements/{name}.txt" for name in ("train", "base", "limits"))
    assert found == Lines(requirements=("numpy", "scikit-learn"), constraints=("numpy<2",), files=files)


def test_options_are_kept_apart_and_written_in_one_way(tmp_path: Path):
    found = read_lines(
        tmp_path, "-i https://a.example/simple\n--extra-index-url=https://b.example\n-f wheels\n--pre\nx"
    )

    assert found.requirements == ("x",)
    assert found.options == (
        "--index-url https://a.example/simple",
        "--extra-index-url https://b.example",
        "--find-links ./wheels",
        "--pre",
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_other_systems_are_read(tmp_path: Path, encoding: str):
    (tmp_path / "requirements.txt").write_text("flask\r\nnumpy\r\n", encoding=encoding)

    assert read_file(tmp_path, "requirements.txt").requirements == ("flask", "numpy")


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"nope\.txt: there is no such file"):
        read_file(tmp_path, "nope.txt")


def test_a_file_outside_of_the_project_is_refused(tmp_path: Path):
    (tmp_path / "project").mkdir()
    (tmp_path / "secret.txt").write_text("x")

    with pytest.raises(NotFoundError, match="outside"):
        read_file(tmp_path / "project", "../secret.txt")


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "requirements.txt").write_bytes(b"flask\n\xff\xfe\x80")

    with pytest.raises(ResolutionError, match=r"requirements\.txt: is not UTF-8"):
        read_file(tmp_path, "requirements.txt")


def test_hashes_count_only_when_every_requirement_has_one(tmp_path: Path):
    assert read_lines(tmp_path, "a==1 --hash=sha256:00\nb==2 --hash=sha256:11").hashed
    assert not read_lines(tmp_path, "a==1 --hash=sha256:00\nb==2").hashed
    assert not read_lines(tmp_path, "# nothing").hashed


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Flask-Login[x]==1", "flask-login"),
        ("zope.interface>=5", "zope-interface"),
        ("pkg @ git+https://example.org/x", "pkg"),
        ("git+https://example.org/x", None),
        ("./pkg", None),
        ("-e ./pkg", None),
    ],
)
def test_the_name_of_a_requirement(line: str, name: str | None):
    assert name_of(line) == name


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("./lib", "lib"),
        (".", "."),
        ("lib @ ./lib ; python_version > '3'", "lib"),
        ("./lib[extra]", "lib"),
        ("wheels/x-1.0-py3-none-any.whl --hash=sha256:00", "wheels/x-1.0-py3-none-any.whl"),
        ("flask==2.1.2", None),
        ("x @ https://example.org/x.whl", None),
        ("git+file:///srv/x", None),
    ],
)
def test_what_is_a_path_of_the_project(line: str, path: str | None):
    assert local_path(line, Path("/project")) == (Path("/project") / path if path else None)


def test_a_file_address_is_a_path():
    assert local_path("x @ file:///srv/x", Path("/project")) == Path("/srv/x")


def test_the_digest_of_a_folder_changes_with_content_and_names(tmp_path: Path):
    (tmp_path / "a.py").write_text("1")
    first = tree_digest(tmp_path)
    (tmp_path / "a.py").write_text("2")
    second = tree_digest(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")

    assert len({first, second, tree_digest(tmp_path)}) == 3


@pytest.mark.parametrize(
    ("line", "installed"),
    [
        ("-e .", "."),
        ("-e lib[extra]", "./lib[extra]"),
        ("--editable=../lib", "../lib"),
        ("-e git+https://example.org/lib.git@v1#egg=lib", "git+https://example.org/lib.git@v1#egg=lib"),
    ],
)
def test_editable_packages_are_installed_like_any(line: str, installed: str):
    assert read_lines(Path("/project"), line).requirements == (installed,)
