"""Branches, tags and commits, while their host changes them or cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bodywork.errors import NotFoundError, UnreachableError, UsageError
from bodywork.git import Git

from .conftest import Machine, Repository, WebServer


@pytest.fixture(params=["folder", "web"])
def place(
    request: pytest.FixtureRequest, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> tuple[str, Callable[[], None]]:
    """Where the repository is opened, and how what changed in it gets there."""
    if request.param == "folder":
        return f"file://{repository.path}", lambda: None
    target = publish(repository)

    def push() -> None:
        repository.git("push", "--quiet", "--mirror", "--force", str(target))

    return web.url("project.git"), push


Place = tuple[str, Callable[[], None]]


def test_names(git: Git, repository: Repository, place: Place) -> None:
    url, push = place
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "light")
    repository.git("tag", "-a", "heavy", "-m", "annotated")
    repository.git("tag", "-a", "heavier", "-m", "a tag of a tag", "heavy")
    repository.git("checkout", "--quiet", "-b", "feature/größe")
    second = repository.commit(**{"a.txt": "2"})
    repository.git("checkout", "--quiet", "main")
    push()
    for ref in (
        "light",
        "heavy",
        "heavier",
        "refs/tags/heavy",
        "main",
        "refs/heads/main",
        first,
        first.upper(),
    ):
        assert git.open(url, ref).commit == first, ref
    assert git.open(url, "feature/größe").commit == second
    assert git.open(url, "heavy").ref == "heavy"
    assert git.open(url, repository.git("rev-parse", "heavy")).commit == first


def test_a_short_sha(git: Git, repository: Repository, place: Place) -> None:
    url, push = place
    first = repository.git("rev-parse", "HEAD")
    second = repository.commit(**{"a.txt": "2"})
    push()
    assert git.open(url, second[:8]).commit == second
    assert git.open(url, first[:8]).commit == first
    with pytest.raises(NotFoundError, match="has no branch, tag or commit 00000000"):
        git.open(url, "00000000")


def test_names_that_are_not_there(git: Git, repository: Repository, place: Place) -> None:
    url, push = place
    repository.git("tag", "v1.0")
    push()
    with pytest.raises(NotFoundError) as caught:
        git.open(url, "mian")
    assert caught.value.hint == "did you mean main?"
    with pytest.raises(NotFoundError) as caught:
        git.open(url, "v1.1")
    assert "v1.0" in (caught.value.hint or "")
    with pytest.raises(NotFoundError, match="has no commit 0123456789"):
        git.open(url, "0123456789" * 4)
    with pytest.raises(UsageError):
        git.open(url, "--upload-pack=x")


def test_a_tag_of_no_commit(git: Git, repository: Repository, place: Place) -> None:
    url, push = place
    repository.git("tag", "blob", repository.git("rev-parse", "HEAD:a.txt"))
    push()
    with pytest.raises(UsageError):
        git.open(url, "blob")


def test_a_branch_that_moves(git: Git, repository: Repository, place: Place) -> None:
    url, push = place
    first = git.open(url)
    second = repository.commit(**{"a.txt": "2"})
    push()
    assert git.open(url).commit == second
    assert git.open(url, "main").read("a.txt") == b"2"
    assert git.open(url, first.commit).read("a.txt") == b"a\n"


def test_a_forced_push(git: Git, repository: Repository, place: Place) -> None:
    url, push = place
    lost = repository.commit("lost", **{"a.txt": "lost"})
    push()
    assert git.open(url).commit == lost
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    other = repository.commit("other", **{"a.txt": "other"})
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    push()
    assert git.open(url, "main").commit == other
    assert git.open(url, lost).read("a.txt") == b"lost"


def test_a_branch_that_is_deleted_or_becomes_a_folder(git: Git, repository: Repository, place: Place) -> None:
    url, push = place
    repository.git("branch", "topic")
    push()
    commit = git.open(url, "topic")
    repository.git("branch", "-D", "topic")
    repository.git("branch", "topic/two")
    push()
    assert git.open(url, "topic/two").commit == commit.commit
    with pytest.raises(NotFoundError) as caught:
        git.open(url, "topic")
    assert "topic/two" in (caught.value.hint or "")
    assert git.open(url, commit.commit) == git.open(url, commit.commit)


def test_another_main_branch(git: Git, repository: Repository, place: Place) -> None:
    url, _ = place
    assert git.open(url).ref == "main"
    if url.startswith("file"):
        repository.git("checkout", "--quiet", "-b", "trunk")
        sha = repository.commit()
        assert (git.open(url).ref, git.open(url).commit) == ("trunk", sha)


def test_a_commit_that_no_branch_has(
    git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    """A host of the old protocol gives out such a commit only if it is told to."""
    sha = repository.commit("pull request", **{"a.txt": "pr"})
    repository.git("update-ref", "refs/pull/1/head", sha)
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    target = publish(repository)
    repository.git("push", "--quiet", str(target), "refs/pull/1/head")
    url = web.url("project.git")
    assert git.open(url, sha).read("a.txt") == b"pr"
    assert git.open(url, "refs/pull/1/head").commit == sha
    web.old_protocol = True
    repository.git("--git-dir", str(target), "config", "transfer.hideRefs", "refs/pull")
    unknown = repository.git("commit-tree", "-m", "x", "HEAD^{tree}")
    with pytest.raises(NotFoundError, match="has no commit"):
        git.open(url, unknown)


def test_without_the_host(
    machine: Machine, git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    repository.git("tag", "v1")
    publish(repository)
    url = web.url("project.git")
    commit = git.open(url)
    git.open(url, "v1")
    web.broken = True
    with pytest.raises(UnreachableError) as caught:
        git.open(url, "main")
    with pytest.raises(UnreachableError) as caught:
        git.open(url)
    assert commit.commit in (caught.value.hint or "")
    asked = len(web.requests)
    for ref in (None, "v1", commit.commit, commit.commit[:7]):
        found = machine.open_git().open(url, ref, offline=True)
        assert found.commit == commit.commit
        assert found.read("models/b.txt") == b"b\n"
    assert git.open(url, offline=True).ref == "main"
    assert git.open(url, commit.commit).commit == commit.commit
    assert len(web.requests) == asked
    with pytest.raises(UnreachableError, match="has not been fetched before"):
        git.open(url, "other", offline=True)


def test_offline_means_nothing_for_a_folder(git: Git, repository: Repository) -> None:
    assert git.open(str(repository.path), offline=True).files() == ("a.txt", "models/b.txt")


def test_an_unchanged_ref_costs_one_question(
    git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    publish(repository)
    git.open(web.url("project.git"), "main")
    asked = len(web.requests)
    git.open(web.url("project.git"), "main")
    assert len(web.requests) - asked == 2  # what version 2 of the protocol takes: capabilities, refs
