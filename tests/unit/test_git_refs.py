"""Names of branches, tags and commits."""

from __future__ import annotations

import pytest

from bodywork.errors import NotFoundError, UsageError
from bodywork.git import refs
from bodywork.git.location import parse

A, B, C = "a" * 40, "b" * 40, "c" * 40
PLACE = parse("https://example.org/a")


@pytest.mark.parametrize(
    "ref", ["main", "feature/x", "v1.0", "größe", "refs/pull/1/head", "abc123", A, "HEAD"]
)
def test_taken(ref: str) -> None:
    assert refs.check(ref) == ref


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-b",
        "--upload-pack=x",
        "a b",
        "HEAD~1",
        "main^",
        "a..b",
        "x:y",
        "a*",
        "@{u}",
        "a\n",
        "x.lock",
        "/a",
        "a/",
    ],
)
def test_refused(ref: str) -> None:
    with pytest.raises(UsageError):
        refs.check(ref)


def test_a_sha_in_capitals_is_the_same_commit() -> None:
    assert refs.check(A.upper()) == A


def test_a_branch_comes_before_a_tag() -> None:
    found = refs.choose({"refs/heads/x": A, "refs/tags/x": B}, "", "x")
    assert found is not None
    assert found.commit == A


def test_head_is_shown_as_its_branch() -> None:
    found = refs.choose({"HEAD": A, "refs/heads/main": A}, "refs/heads/main", None)
    assert found is not None
    assert (found.shown, found.commit) == ("main", A)


def test_a_short_sha_must_be_unambiguous() -> None:
    every = {"refs/heads/x": "abcd" + "0" * 36, "refs/heads/y": "abce" + "0" * 36}
    assert refs.starting_with(every, "ABCD") == every["refs/heads/x"]
    assert refs.starting_with(every, "abc") is None


def test_the_nearest_names_are_suggested() -> None:
    error = refs.nothing(PLACE, {"refs/heads/main": A, "refs/tags/v1.0": B}, "mian")
    assert isinstance(error, NotFoundError)
    assert error.hint == "did you mean main?"
    error = refs.nothing(PLACE, {"refs/heads/main": A}, "origin/main")
    assert error.hint == "did you mean main?"


def test_an_empty_repository() -> None:
    assert "no commit yet" in refs.nothing(PLACE, {}, None).message
