"""Secrets on the disk: values come back as they were given, and names lead nowhere else."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodywork.errors import NotFoundError, UsageError
from bodywork.secret import Secrets, parse

VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(VALUES)
def test_a_value_comes_back_as_it_was_given(value: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        secrets = Secrets(Path(folder))
        secrets.set("db", {"PASSWORD": value})
        assert secrets.read("db", "PASSWORD") == value


@given(st.text())
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    secrets = Secrets(Path("/secrets"))
    for names in ((name, "KEY", None), ("db", name, None), ("db", "KEY", name or None)):
        try:
            path = secrets.path(*names)
        except UsageError:
            continue
        assert path.parts[:2] == ("/", "secrets") and not {".", ".."} & set(path.parts)
        assert len(path.parts) == (5 if names[2] else 4)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a/", "/a", ".a", "a\n", "a\0", "~", "-a", "a" * 300])
def test_what_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Secrets(tmp_path).path(name, "KEY")
    with pytest.raises(UsageError):
        Secrets(tmp_path).path("db", name)


def test_a_file_written_by_hand_counts_without_its_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "db" / "PASSWORD"
    file.parent.mkdir()
    file.write_bytes(b"one\r\ntwo\n")
    file.chmod(0o600)
    assert Secrets(tmp_path).read("db", "PASSWORD") == "one\r\ntwo"
    file.chmod(0o604)
    with pytest.raises(UsageError, match="others can open") as caught:
        Secrets(tmp_path).read("db", "PASSWORD")
    assert caught.value.hint == f"chmod 600 {file}"
    assert Secrets(tmp_path).exposed() == [file]


def test_a_group_and_a_secret_may_have_the_same_name(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    secrets.set("prod", {"KEY": "one"})
    secrets.set("db", {"KEY": "two"}, "prod")
    assert [(e.name, e.group, list(e.keys)) for e in secrets.entries()] == [
        ("prod", None, ["KEY"]),
        ("db", "prod", ["KEY"]),
    ]
    secrets.delete("prod")
    assert secrets.read("db", "KEY", "prod") == "two"
    with pytest.raises(UsageError, match="is a secret of group prod"):
        secrets.set("prod", {"db": "three"})
    secrets.set("prod", {"cache": "four"})
    with pytest.raises(UsageError, match="is the key of a secret"):
        secrets.set("cache", {"KEY": "five"}, "prod")


def test_what_an_interrupted_command_left_goes(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    secrets.set("db", {"PASSWORD": "one"})
    half = tmp_path / "db" / ".new-0123"
    half.write_text("tw")
    assert list(secrets.entries()[0].keys) == ["PASSWORD"]
    secrets.set("db", {"PASSWORD": "two"})
    assert not half.exists()
    secrets.delete("db")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFoundError):
        secrets.delete("db")


def put(folder: str, number: int) -> None:
    secrets = Secrets(Path(folder))
    secrets.set("db", {"SHARED": "x" * (number + 1) * 1000, f"KEY_{number}": str(number)})
    secrets.set(f"other-{number % 2}", {"KEY": "value"}, "dev")
    secrets.delete(f"other-{number % 2}", "KEY", "dev") if number < 2 else None


def test_many_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, [str(tmp_path)] * 12, range(12), timeout=60))
    secrets = Secrets(tmp_path)
    assert {key: secrets.read("db", key) for key in secrets.keys("db") if key != "SHARED"} == {
        f"KEY_{number}": str(number) for number in range(12)
    }
    assert set(secrets.read("db", "SHARED")) == {"x"}


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True), VALUES, min_size=1))
def test_env_files_hold_any_value_on_one_line(values: dict[str, str]) -> None:
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in values.items()}
    text = "".join(f'{key}="{value}"\n' for key, value in escaped.items())
    assert parse(text.encode(), "x.env") == values


def test_env_files_as_they_are_found() -> None:
    text = "\ufeff# team\r\n\r\nexport A=1\r\n B = two words \r\nC='$x # \\n'\nD=it's\nE=a=b==\n"
    assert parse(text.encode(), "x.env") == {
        "A": "1", "B": "two words", "C": "$x # \\n", "D": "it's", "E": "a=b==",
    }  # fmt: skip
