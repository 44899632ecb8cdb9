"""Many commands at once, commands that are killed, and what damages a mirror."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from bodywork.errors import BodyworkError, UnreachableError, UsageError
from bodywork.git import Git

from .conftest import Machine, Repository, WebServer

OPEN = """
import sys
from pathlib import Path
from bodywork.git import Git
commit = Git(Path(sys.argv[1])).open(sys.argv[2])
commit.export(Path(sys.argv[3]))
print(commit.commit)
"""

HOLD = """
import fcntl, sys
lock = open(sys.argv[1])
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def start(machine: Machine, location: str, into: Path) -> subprocess.Popen[str]:
    """Open and export in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, str(machine.cache), location, str(into)],
        env=machine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_at_once(
    machine: Machine, repository: Repository, publish: Callable[..., Path], web: WebServer, tmp_path: Path
) -> None:
    publish(repository)
    url = web.url("project.git")
    running = [start(machine, url, tmp_path / f"out{number}") for number in range(8)]
    results = [process.communicate(timeout=120) for process in running]
    sha = repository.git("rev-parse", "HEAD")
    assert [(out.strip(), error) for out, error in results] == [(sha, "")] * 8
    for number in range(8):
        assert (tmp_path / f"out{number}/a.txt").read_text() == "a\n"


def test_twenty_at_once(git: Git, repository: Repository, machine: Machine, tmp_path: Path) -> None:
    """Half of them while the branch moves on."""
    path = str(repository.path)
    repository.write("a.txt", "not committed")

    def deploy(number: int) -> str:
        commit = machine.open_git().open(path)
        commit.export(tmp_path / f"out{number}")
        return commit.commit

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(deploy, range(20)))) == 1
    assert sorted(path.name for path in (machine.cache / "mirrors").iterdir() if path.suffix == "") == []


def test_one_waits_for_the_other_and_says_so(machine: Machine, git: Git, repository: Repository) -> None:
    git.open(str(repository.path))
    machine.told.clear()
    lock = next((machine.cache / "mirrors").glob("*.lock"))
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD,
            str(lock),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    sha = repository.commit(**{"a.txt": "2"})
    told = threading.Event()
    waiting = Git(machine.cache, environment=machine.environment, progress=lambda _: told.set())
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(waiting.open, str(repository.path))
        assert told.wait(20)
        assert not future.done()
        holder.communicate(b"", timeout=20)
        assert future.result(timeout=60).commit == sha


@pytest.mark.parametrize("number", range(6))
def test_killed_in_the_middle_of_an_answer(
    machine: Machine,
    repository: Repository,
    publish: Callable[..., Path],
    web: WebServer,
    tmp_path: Path,
    number: int,
) -> None:
    """kill -9 of the command and of all it has started; the next one goes on as if nothing were."""
    repository.commit(**{f"file{n}.bin": os.urandom(3000).hex() for n in range(30)})
    publish(repository)
    url = web.url("project.git")
    started: list[subprocess.Popen[str]] = []
    ready = threading.Event()

    def kill() -> None:
        assert ready.wait(20)
        victim = psutil.Process(started[0].pid)
        for process in [*victim.children(recursive=True), victim]:
            process.send_signal(signal.SIGKILL)
        started[0].wait(20)

    web.strike_at, web.strike = number, kill
    started.append(start(machine, url, tmp_path / "out"))
    ready.set()
    started[0].communicate(timeout=60)
    web.strike_at = -1
    commit = machine.open_git().open(url)
    commit.export(tmp_path / "again")
    assert len(list((tmp_path / "again").glob("file*"))) == 30
    sound(machine)


@pytest.mark.parametrize("number", range(6))
def test_an_answer_that_breaks_off(
    machine: Machine, repository: Repository, publish: Callable[..., Path], web: WebServer, number: int
) -> None:
    repository.commit(**{f"file{n}.bin": os.urandom(3000).hex() for n in range(30)})
    publish(repository)
    git = machine.open_git()
    web.strike_at = number
    try:
        git.open(web.url("project.git"))
    except UnreachableError as error:
        assert error.hint or "failed" in error.message
    web.strike_at = -1
    assert len(git.open(web.url("project.git")).files()) == 32
    sound(machine)


def sound(machine: Machine) -> None:
    for mirror in (machine.cache / "mirrors").glob("*.git"):
        Repository(mirror, machine.environment).git("fsck", "--connectivity-only")
        assert not list(mirror.rglob("tmp_pack*"))
        assert not list(mirror.rglob("*.lock"))


def test_what_a_killed_git_leaves_does_not_stop_the_next(
    machine: Machine, git: Git, repository: Repository
) -> None:
    git.open(str(repository.path))
    mirror = next((machine.cache / "mirrors").glob("*.git"))
    sha = repository.commit(**{"a.txt": "2"})
    for name in ("config", "packed-refs", "shallow", "HEAD", f"refs/bodywork/commits/{sha}"):
        (mirror / f"{name}.lock").touch()
    (mirror / "objects/pack/tmp_pack_abc").write_bytes(b"half")
    (mirror / "objects/pack/pack-1.keep").touch()
    (mirror / "bodywork/tmp-abc").mkdir()
    (mirror / "bodywork/busy").touch()
    assert git.open(str(repository.path)).commit == sha
    assert not list(mirror.rglob("*.lock"))
    assert not list(mirror.rglob("tmp*"))


@pytest.mark.parametrize("what", ["objects", "refs", "config", "HEAD", "pack"])
def test_a_damaged_mirror_is_made_anew(
    machine: Machine, git: Git, repository: Repository, what: str, tmp_path: Path
) -> None:
    repository.commit(**{f"file{number}.txt": str(number) for number in range(120)})
    git.open(str(repository.path))
    mirror = next((machine.cache / "mirrors").glob("*.git"))
    if what == "pack":
        for pack in (mirror / "objects/pack").glob("*.pack"):
            pack.chmod(0o600)
            pack.write_bytes(pack.read_bytes()[:40])
    elif (mirror / what).is_dir():
        shutil.rmtree(mirror / what)
    else:
        (mirror / what).write_text("")
    repository.commit(**{"a.txt": "2"})
    commit = git.open(str(repository.path))
    commit.export(tmp_path / "out")
    assert (tmp_path / "out/file1.txt").read_text() == "1"


def test_a_damaged_copy_says_where_it_is(machine: Machine, git: Git, repository: Repository) -> None:
    commit = git.open(str(repository.path))
    mirror = next((machine.cache / "mirrors").glob("*.git"))
    shutil.rmtree(mirror / "objects")
    (mirror / "objects").mkdir()
    with pytest.raises(UsageError) as caught:
        git.open(str(repository.path)).read("a.txt")
    assert str(mirror) in (caught.value.hint or "")
    shutil.rmtree(mirror)
    assert git.open(str(repository.path), commit.commit).read("a.txt") == b"a\n"


def test_a_damaged_repository_of_the_user_is_named(
    machine: Machine, git: Git, repository: Repository
) -> None:
    git.open(str(repository.path))
    repository.commit(**{"new.txt": "new"})
    blob = repository.git("rev-parse", "HEAD:new.txt")
    damaged = repository.path / ".git/objects" / blob[:2] / blob[2:]
    damaged.chmod(0o600)
    damaged.write_bytes(b"")
    with pytest.raises(BodyworkError) as caught:
        git.open(str(repository.path))
    assert str(repository.path) in caught.value.message


def test_many_small_fetches_are_joined(machine: Machine, git: Git, repository: Repository) -> None:
    """The mirror of a repository that is deployed every day does not grow one pack a day for ever."""
    (machine.home / ".gitconfig").write_text("[gc]\n\tautoPackLimit = 4\n\tpruneExpire = now\n")
    shas = []
    for number in range(12):
        repository.write("a.txt", str(number))
        shas.append(git.open(str(repository.path)).commit)
    mirror = next((machine.cache / "mirrors").glob("*.git"))
    assert len(list((mirror / "objects/pack").glob("*.pack"))) <= 6
    for number, sha in enumerate(shas):
        assert git.open(str(repository.path), sha).read("a.txt") == str(number).encode()
