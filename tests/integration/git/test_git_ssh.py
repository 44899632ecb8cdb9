"""Private repositories by ssh: a real sshd, real keys, a real ssh-agent."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sshd
from bodywork.errors import BodyworkError, MachineError, NotFoundError, UnreachableError, UsageError
from bodywork.git import Commit, Git

from .conftest import Machine, Repository

pytestmark = pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd")

QUICK = 10.0
"""Seconds within which every refusal has to be there."""

Open = Callable[..., Commit]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.SshServer]:
    """A host whose keys this machine knows, and which knows the key that ssh finds."""
    with sshd.running(tmp_path / "sshd") as made:
        made.trust()
        yield made


@pytest.fixture
def open_git(machine: Machine, server: sshd.SshServer) -> Callable[..., Git]:
    """git with an ssh that knows only the test's files; `command` is that ssh."""

    def make(*settings: str, key: Path | None = None, ssh_key: Path | None = None, **more: str) -> Git:
        command = server.configure(*settings, key=key)
        environment = {**machine.environment, "GIT_SSH_COMMAND": command, **more}
        return Git(machine.cache, environment=environment, progress=machine.told.append, ssh_key=ssh_key)

    return make


@pytest.fixture
def bare(tmp_path: Path, repository: Repository) -> Path:
    """The repository as its host has it."""
    path = tmp_path / "hosted.git"
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(path))
    repository.git("--git-dir", str(path), "config", "uploadpack.allowFilter", "true")
    return path


def refused(
    git: Git, location: str, kind: type[BodyworkError] = UsageError, *, seconds: float = QUICK
) -> str:
    """What is said of a repository that is not opened, and that is said soon."""
    begun = time.monotonic()
    with pytest.raises(kind) as caught:
        git.open(location)
    assert time.monotonic() - begun < seconds
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return f"{caught.value.message}\n{caught.value.hint}"


def test_the_right_key_opens_it(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path, repository: Repository
) -> None:
    git = open_git()
    commit = git.open(server.url(bare))
    assert commit.files() == ("a.txt", "models/b.txt")
    assert commit.repository == server.url(bare)
    second = repository.commit("second", **{"a.txt": "new\n"})
    repository.git("push", "--quiet", str(bare), "main")
    assert git.open(server.url(bare), "main").commit == second


def test_host_and_path_with_an_alias_for_the_port(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path
) -> None:
    for location in (
        f"{server.user}@flowers:{bare}",
        f"flowers:{bare}",
        f"ssh://{server.user}@flowers{bare}",
    ):
        assert open_git().open(location).read("a.txt") == b"a\n"


def test_core_ssh_command_is_used(machine: Machine, server: sshd.SshServer, bare: Path) -> None:
    command = server.configure()
    (machine.home / ".gitconfig").write_text(f"[core]\n\tsshCommand = {command}\n")
    assert machine.open_git().open(server.url(bare)).files()


def test_a_user_that_the_host_does_not_know(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path
) -> None:
    said = refused(open_git(), server.url(bare, user="nobody-of-that-name"))
    assert "nobody-of-that-name@127.0.0.1: Permission denied" in said


def test_a_wrong_key(open_git: Callable[..., Git], server: sshd.SshServer, bare: Path) -> None:
    said = refused(open_git(key=server.other), server.url(bare))
    assert f"{server.host} did not let us read {server.url(bare)}" in said
    assert "Permission denied (publickey)" in said
    assert "ssh-add" in said and "--ssh-key-file" in said


def test_a_named_key_is_the_only_one(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path
) -> None:
    spaced = server.folder / "my deploy 'key'"
    shutil.copy(server.key, spaced)
    assert open_git(key=server.other, ssh_key=spaced).open(server.url(bare)).files()
    said = refused(open_git(key=Path("/none"), ssh_key=server.other), server.url(bare))
    assert f"the key {server.other} does not open it" in said


def test_a_named_key_does_not_give_way_to_those_of_an_agent(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path, tmp_path: Path
) -> None:
    with sshd.agent(tmp_path, server.key, "") as holder:
        git = open_git(key=Path("/none"), SSH_AUTH_SOCK=holder)
        assert git.open(server.url(bare)).files()
        git = open_git(key=Path("/none"), ssh_key=server.other, SSH_AUTH_SOCK=holder)
        assert "does not open it" in refused(git, server.url(bare))


@pytest.fixture
def locked(server: sshd.SshServer) -> Path:
    """A key with a passphrase, which the host accepts."""
    key = sshd.new_key(server.folder / "locked", passphrase="open-sesame")
    server.authorize(key)
    return key


def test_a_key_with_a_passphrase_and_no_agent_is_never_asked_for(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path, locked: Path, tmp_path: Path
) -> None:
    window = tmp_path / "window"
    window.write_text(f"#!/bin/sh\ntouch {tmp_path}/opened\necho open-sesame\n")
    window.chmod(0o700)
    asking = {"SSH_ASKPASS": str(window), "DISPLAY": ":0"}
    assert "without a passphrase" in refused(open_git(key=locked, **asking), server.url(bare))
    said = refused(open_git(ssh_key=locked, key=Path("/none"), **asking), server.url(bare))
    assert f"the key {locked} has a passphrase" in said
    assert f"ssh-add {locked}" in said
    assert not (tmp_path / "opened").exists()


def test_an_agent_holds_the_key_with_a_passphrase(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path, locked: Path, tmp_path: Path
) -> None:
    with sshd.agent(tmp_path, locked, "open-sesame") as holder:
        git = open_git(key=Path("/none"), SSH_AUTH_SOCK=holder)
        assert git.open(server.url(bare)).files()
        repeated = open_git(key=Path("/none"), ssh_key=locked, SSH_AUTH_SOCK=holder)
        assert repeated.open(server.url(bare), "main").files()


@pytest.mark.parametrize("setting", ["", "StrictHostKeyChecking accept-new", "StrictHostKeyChecking no"])
def test_an_unknown_host_is_refused_whatever_ssh_is_set_to(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path, setting: str
) -> None:
    server.known_hosts.unlink()
    said = refused(open_git(*filter(None, [setting])), server.url(bare))
    assert f"does not know the key of the ssh host {server.host}" in said
    assert f"bodywork git trust {server.host} " in said
    assert not server.known_hosts.exists()


def test_what_the_users_own_command_says_is_stronger(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path
) -> None:
    server.known_hosts.unlink()
    command = f"{server.configure()} -o StrictHostKeyChecking=accept-new"
    assert open_git(GIT_SSH_COMMAND=command).open(server.url(bare)).files()
    assert server.known_hosts.exists()


def test_there_is_no_ssh(open_git: Callable[..., Git], server: sshd.SshServer, bare: Path) -> None:
    with pytest.raises(MachineError) as caught:
        open_git(GIT_SSH_COMMAND="/nowhere/ssh").open(server.url(bare))
    assert "openssh-client" in (caught.value.hint or "")


def test_a_named_key_opens_submodules_as_well(
    open_git: Callable[..., Git],
    server: sshd.SshServer,
    bare: Path,
    new_repository: Callable[[str], Repository],
) -> None:
    outer = new_repository("outer")
    outer.git("submodule", "add", "--quiet", str(bare), "inner")
    outer.git("config", "--file", ".gitmodules", "submodule.inner.url", "../hosted.git")
    outer.commit("with a submodule")
    hosted = bare.with_name("outer.git")
    outer.git("clone", "--quiet", "--bare", str(outer.path), str(hosted))
    commit = open_git(key=Path("/none"), ssh_key=server.key).open(server.url(hosted))
    assert commit.read("inner/a.txt") == b"a\n"


def test_a_changed_host_key(open_git: Callable[..., Git], server: sshd.SshServer, bare: Path) -> None:
    git = open_git()
    assert git.open(server.url(bare)).files()
    server.change_host_keys()
    said = refused(git, server.url(bare))
    assert f"the key of the ssh host {server.host} is not the one that this machine knows" in said
    assert f"bodywork git trust {server.host} --replace" in said


def test_a_host_that_takes_the_call_and_says_nothing(open_git: Callable[..., Git]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        said = refused(open_git(), f"ssh://me@{host}/a", UnreachableError, seconds=15)
    assert f"{host} cannot be reached: Connection timed out" in said


def test_nobody_listens(open_git: Callable[..., Git], server: sshd.SshServer, bare: Path) -> None:
    git = open_git()
    commit = git.open(server.url(bare)).commit
    server.stop()
    said = refused(git, server.url(bare), UnreachableError)
    assert "Connection refused" in said
    assert commit in said
    assert git.open(server.url(bare), offline=True).commit == commit


def test_a_repository_that_vanished(open_git: Callable[..., Git], server: sshd.SshServer, bare: Path) -> None:
    git = open_git()
    commit = git.open(server.url(bare)).commit
    bare.rename(bare.with_name("moved.git"))
    said = refused(git, server.url(bare), NotFoundError)
    assert f"{server.host} has no repository {server.url(bare)}" in said
    assert git.open(server.url(bare), commit).files()


def test_the_host_lets_us_in_but_not_read(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path
) -> None:
    """git on the host checks the owner, and root may read whatever it is forbidden."""
    if os.getuid() == 0:
        os.chown(bare, 65534, 65534)
        assert "lets us in, but not read" in refused(open_git(), server.url(bare))
        return
    bare.chmod(0)
    try:
        refused(open_git(), server.url(bare), NotFoundError)
    finally:
        bare.chmod(0o700)


def test_a_key_of_ssh_that_others_can_read(
    open_git: Callable[..., Git], server: sshd.SshServer, bare: Path
) -> None:
    server.key.chmod(0o644)
    said = refused(open_git(), server.url(bare))
    assert f"chmod 600 {server.key}" in said


def wrong_keys(server: sshd.SshServer) -> dict[str, tuple[Path, str]]:
    folder = server.folder
    (folder / "text").write_text("hello\n")
    (folder / "putty.ppk").write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")
    damaged = folder / "damaged"
    damaged.write_text(server.key.read_text().replace("\n", " "))
    for path in (folder / "text", folder / "putty.ppk", damaged):
        path.chmod(0o600)
    public = f"what opens a repository is the private one\nname {server.key}"
    open_to_all = Path(shutil.copy(server.key, folder / "open"))
    open_to_all.chmod(0o640)
    return {
        "missing": (folder / "nothing", "is not there"),
        "public": (Path(f"{server.key}.pub"), public),
        "folder": (folder, "Is a directory"),
        "text": (folder / "text", "is not an ssh key"),
        "putty": (folder / "putty.ppk", "puttygen"),
        "damaged": (damaged, "ssh cannot read the key"),
        "open": (open_to_all, f"chmod 600 {open_to_all}"),
        "percent": (folder / "100%", "give the key a plain name"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "case", ["missing", "public", "folder", "text", "putty", "damaged", "open", "percent"]
)
def test_a_file_that_ssh_would_not_take_is_refused_at_once(
    open_git: Callable[..., Git], server: sshd.SshServer, case: str
) -> None:
    path, words = wrong_keys(server)[case]
    with pytest.raises(UsageError) as caught:
        open_git(ssh_key=path)
    assert str(path) in caught.value.message
    assert words in f"{caught.value.message}\n{caught.value.hint}"


def test_a_key_is_for_openssh(open_git: Callable[..., Git], server: sshd.SshServer, bare: Path) -> None:
    git = open_git(ssh_key=server.key, GIT_SSH_COMMAND="plink")
    assert "OpenSSH" in refused(git, server.url(bare))
