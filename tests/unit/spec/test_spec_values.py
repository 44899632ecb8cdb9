"""Durations, sizes, cores, requirement lines, names and plain YAML words."""

from __future__ import annotations

import math

import pytest

from bodywork.spec import names, quantity, requirement, scalar, text
from bodywork.spec.tree import plain


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("1.5h", 5400),
        ("0.5s", 0.5),
    ],
)
def test_durations(written: str, seconds: float) -> None:
    assert quantity.seconds(written) == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("512Mi", 512 * 2**20),
        ("1Gi", 2**30),
        ("500M", 500 * 10**6),
        ("1.5G", 1500 * 10**6),
        ("2048Ki", 2**21),
    ],
)
def test_sizes(written: str, size: int) -> None:
    assert quantity.memory(written) == size


@pytest.mark.parametrize(
    ("written", "cores"), [("0.5", 0.5), (2, 2), (0.25, 0.25), ("500m", 0.5), ("1500m", 1.5)]
)
def test_cores(written: object, cores: float) -> None:
    assert quantity.cores(written) == cores


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy==2.1.0",
        "numpy == 2.1.*",
        "Flask-SQLAlchemy>=2,<3.1,!=2.5",
        "pandas[excel, parquet]~=2.2",
        "torch==2.3.1+cu121",
        "a.b_c (>=1.0)",
        "x===2020-custom",
        "x==1.0rc1.post2.dev3",
        "x>=1!2.0",
        "tensorflow>=2; python_version < '3.13' and sys_platform == \"linux\"",
        "x;python_version>='3.8'",
        "mine @ git+https://example.org/mine.git@v1",
        "mine[a] @ https://example.org/mine.whl ; python_version > '3'",
    ],
)
def test_requirement_lines(line: str) -> None:
    assert requirement.fault(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "numpy=1.0",
        "==1.0",
        "numpy==",
        "numpy>=2.x",
        "a b",
        "-e .",
        "./wheel.whl",
        "numpy;",
        "x" * 1001,
        "[a]",
    ],
)
def test_what_is_no_requirement_line(line: str) -> None:
    assert requirement.fault(line) is not None


def test_a_hostile_requirement_line_is_refused_at_once() -> None:
    assert requirement.fault("a" * 400 + "==" + "1." * 200 + "!") is not None
    assert requirement.fault("a[" + "b," * 400 + "!") is not None


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("FALSE", False),
        ("7", 7), ("-7", -7), ("007", 7),
        ("0o17", 15), ("0x1F", 31), ("3.10", 3.1), (".5", 0.5), ("1e3", 1000.0),
        ("-.inf", -math.inf), ("yes", "yes"), ("on", "on"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"), ("1.2.3", "1.2.3"), ("-", "-"), (".", "."), ("9" * 301, "9" * 301),
    ],
)  # fmt: skip
def test_plain_words(word: str, value: object) -> None:
    resolved = scalar.resolve(word)
    assert (resolved, type(resolved)) == (value, type(value))


def test_quoted_words_and_tagged_ones() -> None:
    data = b"a: '7'\nb: !!str 7\nc: !!int '7'\nd: !!float 7\ne: ! 7\nf: |\n  7\n"
    document = text.parse(data, file="x")
    assert plain(document.root) == {"a": "7", "b": "7", "c": 7, "d": 7.0, "e": "7", "f": "7\n"}
    assert document.problems == ()


def test_labels_are_unique_and_exact_names_keep_theirs() -> None:
    made = names.unique_labels(["a_b", "a-b", "a.b", "", "é", "a" * 63, "A" * 63])
    assert made["a-b"] == "a-b"
    assert len(set(made.values())) == len(made)
    assert all(names.is_label(label) for label in made.values())
