"""Small parts of stores: what they are made of when no server is needed."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from bodywork.artifacts.digest import Digesting
from bodywork.artifacts.fallback import Fallback
from bodywork.artifacts.files import FileStore
from bodywork.artifacts.objects import MOST_PARTS, PART, _part
from bodywork.artifacts.turns import Turns
from bodywork.cli.words import size
from bodywork.errors import MachineError, NotFoundError

DIGEST = "file:" + "ab" * 32


def test_the_parts_of_an_object_are_never_more_than_s3_takes() -> None:
    for octets in (0, 1, PART, 5 << 30, 100 << 30, 5 << 40):
        assert _part(octets) >= PART and -(-octets // _part(octets)) <= MOST_PARTS


def test_a_digest_taken_beside_is_the_same() -> None:
    blocks = [bytes([number]) * 100_000 for number in range(50)]
    before = set(threading.enumerate())
    with Digesting() as digesting:
        for block in blocks:
            digesting.add(block)
    assert digesting.result == hashlib.sha256(b"".join(blocks)).hexdigest()
    with pytest.raises(KeyError), Digesting() as digesting:
        raise KeyError
    assert set(threading.enumerate()) <= before


def test_what_one_store_has_not_is_found_in_another(tmp_path: Path) -> None:
    first, other = FileStore(tmp_path / "first"), FileStore(tmp_path / "other")
    (tmp_path / "model").write_text("model")
    digest = other.put(tmp_path / "model")
    both = Fallback(first, lambda: [FileStore(tmp_path / "empty"), other])
    both.get(digest, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "model" and both.size(digest) == 5
    assert list(first.kept()) == []
    both.put(tmp_path / "model")
    assert [one.digest for one in first.kept()] == [digest]
    with pytest.raises(NotFoundError, match=r"is not in the store .*/first"):
        both.get(DIGEST, tmp_path / "none")
    assert both.size(DIGEST) is None


def test_who_puts_shares_the_turn_and_who_removes_has_it_alone(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "turns")
    with turns.putting(DIGEST), turns.putting(DIGEST), turns.removing(DIGEST) as alone:
        assert not alone
    with turns.removing(DIGEST) as alone, turns.removing(DIGEST) as second:
        assert alone and not second
    with turns.removing("file:" + "cd" * 32) as alone, turns.putting(DIGEST):
        assert alone


def test_a_folder_forgets_what_is_removed_and_what_killed_commands_left(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    (tmp_path / "model").write_text("model")
    digest = store.put(tmp_path / "model")
    (store.root / ".new-999999999-x").write_text("half")
    assert [(one.digest, one.size) for one in store.kept()] == [(digest, 5)]
    assert not (store.root / ".new-999999999-x").exists()
    store.remove(digest, DIGEST)
    assert store.size(digest) is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for root in (tmp_path / "file" / "store", Path("/proc/nothing")):
        with pytest.raises(MachineError, match=rf"the folder {root} cannot be written to: ") as raised:
            FileStore(root, hint="name another").check(writing=True)
        assert raised.value.hint == "name another"


def test_sizes_in_words() -> None:
    assert [size(n) for n in (0, 999, 1000, 5 << 10, 3 << 20, 1 << 30)] == [
        *("0 B", "999 B", "1 KiB", "5 KiB", "3 MiB", "1.0 GiB")
    ]
