"""The content-addressed folder keeps what it was given, and refuses what was changed."""

import os
import socket
from pathlib import Path

import pytest

from bodywork.artifacts.files import FileStore
from bodywork.errors import NotFoundError, StageError


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


def test_a_file_comes_back_as_it_was(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"\x00\xff" * 1000)
    digest = store.put(tmp_path / "model")
    store.get(digest, tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == b"\x00\xff" * 1000
    assert store.size(digest) == (tmp_path / "model").stat().st_size


def test_the_same_content_has_the_same_digest_and_is_kept_once(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("same")
    (tmp_path / "b").write_text("same")
    assert store.put(tmp_path / "a") == store.put(tmp_path / "b")
    assert len([path for path in store.root.rglob("*") if path.is_file()]) == 1


def test_a_folder_comes_back_with_its_links_and_modes(store: FileStore, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "run").write_text("#!/bin/sh\n")
    (folder / "sub" / "run").chmod(0o755)
    (folder / "link").symlink_to("sub/run")
    digest = store.put(folder)
    store.get(digest, tmp_path / "copy")
    assert (tmp_path / "copy" / "link").read_text() == "#!/bin/sh\n"
    assert (tmp_path / "copy" / "sub" / "run").stat().st_mode & 0o100
    assert store.put(tmp_path / "copy") == digest


def test_a_damaged_artifact_is_refused_and_not_left_behind(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("good")
    digest = store.put(tmp_path / "model")
    kept = next(path for path in store.root.rglob("*") if path.is_file())
    kept.chmod(0o644)
    kept.write_text("evil")
    with pytest.raises(StageError, match="is damaged"):
        store.get(digest, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_is_not_kept_is_not_found(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not in the store"):
        store.get("file:" + "0" * 64, tmp_path / "copy")


def test_only_files_and_folders_are_kept(store: FileStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(StageError, match="neither a file nor a folder"):
            store.put(tmp_path / name)


def test_a_folder_is_kept_without_its_sockets(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "a").write_text("a")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "saved" / "s"))
        store.get(store.put(tmp_path / "saved"), tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["a"]


@pytest.mark.parametrize("target", ["/etc/hostname", "../../other", "sub/../../../x"])
def test_a_link_that_leads_out_of_a_folder_is_refused(store: FileStore, tmp_path: Path, target: str) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "link").symlink_to(target)
    with pytest.raises(StageError, match="leads out of the folder"):
        store.put(tmp_path / "saved")


def test_what_a_killed_command_was_writing_goes_with_the_next_artifact(
    store: FileStore, tmp_path: Path
) -> None:
    (tmp_path / "model").write_text("x")
    store.put(tmp_path / "model")
    (store.root / ".new-4194304000-abc").write_text("half")
    mine = store.root / f".new-{os.getpid()}-abc"
    mine.write_text("being written")
    store.put(tmp_path / "model")
    assert [path.name for path in store.root.glob(".new-*")] == [mine.name]
