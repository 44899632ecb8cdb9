"""A folder's archive depends on what is in it and on nothing else, and gives the same folder again."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bodywork.stage import archive

NAMES = st.text(alphabet="ab.é ", min_size=1, max_size=3).filter(lambda name: name.strip(". ") != "")
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.tuples(st.binary(max_size=9), st.booleans())
)


def fill(folder: Path, files: dict[tuple[str, ...], tuple[bytes, bool]]) -> None:
    folder.mkdir()
    for names, (content, executable) in files.items():
        path = folder.joinpath(*names)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue  # a file and a folder of one name
        path.chmod(0o755 if executable else 0o600)
        os.utime(path, (len(content), len(content)))


def packed(folder: Path) -> bytes:
    into = io.BytesIO()
    archive.write(str(folder), into)
    return into.getvalue()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(files=FILES)
def test_what_comes_out_is_what_went_in(
    files: dict[tuple[str, ...], tuple[bytes, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("archive")
    fill(root / "one", files)
    first = packed(root / "one")
    (root / "kept").write_bytes(first)
    archive.unpack(str(root / "kept"), str(root / "other"))
    assert packed(root / "other") == first
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in
             (root / "one", root / "other")]  # fmt: skip
    assert names[0] == names[1]


def test_two_names_of_one_file_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "a").write_text("content")
    (tmp_path / "linked" / "b").hardlink_to(tmp_path / "linked" / "a")
    (tmp_path / "copied").mkdir()
    for name in ("a", "b"):
        (tmp_path / "copied" / name).write_text("content")
    assert packed(tmp_path / "linked") == packed(tmp_path / "copied")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", ".."])
def test_a_link_that_leads_out_is_refused(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "link").symlink_to(target)
    with pytest.raises(archive.OutsideError) as caught:
        packed(folder)
    assert (caught.value.link, caught.value.to) == ("saved/link", target)


def test_a_project_keeps_such_links(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "project.tar.gz", "w:gz") as file:
        member = tarfile.TarInfo("data")
        member.type, member.linkname = tarfile.SYMTYPE, "/mnt/data"
        file.addfile(member)
    archive.unpack(str(tmp_path / "project.tar.gz"), str(tmp_path / "project"), links=True)
    assert (tmp_path / "project" / "data").readlink() == Path("/mnt/data")
