"""Every broken file of tests/data/broken gives exactly the messages of the .txt beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bodywork.errors import SpecError
from bodywork.spec.read import read

FOLDER = Path(__file__).parents[2] / "data" / "broken"
FILES = (
    "bodywork.yaml",
    "data.csv",
    "notebooks/report.ipynb",
    "pipeline/prepare.py",
    "pipeline/serve.py",
    "pipeline/train.py",
    "requirements.txt",
    "uv.lock",
)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_messages(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        read((FOLDER / f"{name}.yaml").read_bytes(), file="bodywork.yaml", files=FILES)
    assert f"{caught.value}\n" == (FOLDER / f"{name}.txt").read_text()
    assert [str(problem) for problem in caught.value.problems] == str(caught.value).splitlines()


def test_there_are_many_and_each_has_its_messages() -> None:
    files = {path.stem for path in FOLDER.glob("*.yaml")}
    assert len(files) >= 60
    assert files == {path.stem for path in FOLDER.glob("*.txt")}


def test_a_file_larger_than_any_bodywork_yaml() -> None:
    with pytest.raises(SpecError, match=r"the file has 1,048,577 bytes; the most that is read is 1,048,576"):
        read(b"#" * (2**20 + 1), file="bodywork.yaml", files=None)


def test_without_a_listing_files_are_not_looked_for() -> None:
    data = b'version: "2"\nname: x\nstages: {a: {run: nowhere.py, requirements: nowhere.txt}}\n'
    project, warnings = read(data, file="bodywork.yaml", files=None)
    assert project.stage("a").run == "nowhere.py"
    assert warnings == ()
