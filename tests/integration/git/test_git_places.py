"""Every form of address opens the same commit; what cannot be opened says why."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bodywork.errors import MachineError, NotFoundError, UnreachableError, UsageError
from bodywork.git import Git

from .conftest import Machine, Repository, WebServer


def test_a_folder(git: Git, repository: Repository) -> None:
    commit = git.open(str(repository.path))
    assert commit.repository == str(repository.path)
    assert (commit.ref, commit.snapshot, commit.changes, commit.folder) == ("main", False, 0, "")
    assert commit.commit == repository.git("rev-parse", "HEAD")
    assert commit.read("models/b.txt") == b"b\n"
    assert commit.files() == ("a.txt", "models/b.txt")


def test_a_folder_inside_a_working_tree(git: Git, repository: Repository) -> None:
    commit = git.open(str(repository.path / "models"))
    assert commit.repository == str(repository.path)
    assert commit.folder == "models"
    assert commit.files() == ("a.txt", "models/b.txt")
    assert git.open(str(repository.path / "models"), "main").folder == "models"


def test_a_path_relative_to_where_we_are(
    git: Git, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.path)
    assert git.open(".").repository == str(repository.path)
    assert git.open("models").folder == "models"


def test_a_folder_reached_through_a_symlink(git: Git, repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository.path)
    assert git.open(str(tmp_path / "link")).repository == str(repository.path)


@pytest.mark.parametrize(
    "name", ["with blanks in it", "größe-日本", "quote'\"s", "colon:s", "-dash", "back\\slash"]
)
def test_odd_names_of_folders(
    git: Git, new_repository: Callable[[str], Repository], tmp_path: Path, name: str
) -> None:
    repository = new_repository(name)
    sha = repository.commit(**{"a.txt": "a"})
    assert git.open(str(tmp_path / name)).commit == sha
    repository.write("new file.txt", "new")
    commit = git.open(str(tmp_path / name))
    assert commit.snapshot
    assert commit.read("new file.txt") == b"new"


def test_a_bare_repository(git: Git, repository: Repository, tmp_path: Path) -> None:
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    for location in (str(tmp_path / "bare.git"), f"file://{tmp_path}/bare.git"):
        commit = git.open(location)
        assert commit.commit == repository.git("rev-parse", "HEAD")
        assert commit.ref == "main"
        assert commit.repository == location


def test_a_file_address_is_what_is_committed(git: Git, repository: Repository) -> None:
    repository.write("a.txt", "not committed")
    commit = git.open(f"file://{repository.path}")
    assert not commit.snapshot
    assert commit.read("a.txt") == b"a\n"


def test_a_linked_working_tree(git: Git, repository: Repository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "new.txt").write_text("new")
    commit = git.open(str(tmp_path / "side"))
    assert (commit.ref, commit.changes) == ("side", 1)
    assert commit.read("new.txt") == b"new"


def test_a_shallow_clone(git: Git, repository: Repository, tmp_path: Path) -> None:
    repository.commit("second", date="2024-02-01T00:00:00Z", **{"a.txt": "2"})
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", str(tmp_path / "shallow"))
    commit = git.open(str(tmp_path / "shallow"))
    assert commit.read("models/b.txt") == b"b\n"
    assert commit.changed(["models/b.txt"]) == commit.date()
    assert commit.cut_off(["models/b.txt"]) and not commit.cut_off([])
    clone = Repository(tmp_path / "shallow", dict(os.environ))
    clone.git("fetch", "--quiet", "--unshallow")
    sha = repository.commit("third", date="2024-03-01T00:00:00Z", **{"a.txt": "3"})
    clone.git("pull", "--quiet")
    commit = git.open(str(tmp_path / "shallow"))
    assert commit.commit == sha
    assert commit.changed(["models/b.txt"]).isoformat() == "2024-01-01T12:00:00+00:00"
    assert not commit.cut_off(["models/b.txt"])


def test_a_partial_clone(git: Git, repository: Repository, tmp_path: Path) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.commit("second", **{"a.txt": "2"})
    repository.git(
        "clone", "--quiet", "--filter=blob:none", f"file://{repository.path}", str(tmp_path / "partial")
    )
    commit = git.open(str(tmp_path / "partial"))
    assert commit.read("a.txt") == b"2"
    (tmp_path / "partial/new.txt").write_text("new")
    assert git.open(str(tmp_path / "partial")).files() == ("a.txt", "models/b.txt", "new.txt")


def test_git_daemon(git: Git, repository: Repository, daemon: tuple[Path, int]) -> None:
    root, port = daemon
    repository.git("clone", "--quiet", "--bare", ".", str(root / "project.git"))
    commit = git.open(f"git://127.0.0.1:{port}/project.git")
    assert commit.files() == ("a.txt", "models/b.txt")
    with pytest.raises(NotFoundError, match="no repository"):
        git.open(f"git://127.0.0.1:{port}/missing.git")


@pytest.fixture
def by_ssh(tmp_path: Path) -> Callable[[str], str]:
    """A program in the place of ssh: notes its arguments, and runs a script that finds the $command."""

    def make(script: str) -> str:
        program = tmp_path / "ssh"
        log = tmp_path / "ssh.log"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >> {log}\nfor command do :; done\n'
            f'[ "$1" = -G ] && exit 0\n{script}\n'
        )
        program.chmod(0o755)
        return str(program)

    return make


def test_ssh_is_told_not_to_ask(
    machine: Machine, repository: Repository, by_ssh: Callable[[str], str], tmp_path: Path
) -> None:
    git = machine.open_git(GIT_SSH_COMMAND=by_ssh('eval "$command"'))
    for location in (f"ssh://me@localhost:2222{repository.path}", f"me@localhost:{repository.path}"):
        assert git.open(location).files() == ("a.txt", "models/b.txt")
    said = (tmp_path / "ssh.log").read_text().splitlines()
    assert {"BatchMode=yes", "me@localhost", "2222"} <= set(said)


def test_the_users_ssh_command_is_used(
    machine: Machine, repository: Repository, by_ssh: Callable[[str], str]
) -> None:
    program = by_ssh('eval "$command"')
    (machine.home / ".gitconfig").write_text(f"[core]\n\tsshCommand = {program}\n")
    assert machine.open_git().open(f"localhost:{repository.path}").files()


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        (
            "Host key verification failed.",
            UsageError,
            "bodywork git trust example.invalid shows",
        ),
        (
            "REMOTE HOST IDENTIFICATION HAS CHANGED!",
            UsageError,
            "bodywork git trust example.invalid --replace",
        ),
        ("me@example.invalid: Permission denied (publickey).", UsageError, "never asks"),
        (
            "ssh: Could not resolve hostname example.invalid: Name or service not known",
            UnreachableError,
            "address",
        ),
        ("ssh: connect to host example.invalid port 22: Connection refused", UnreachableError, "try again"),
        ("ERROR: Repository not found.", NotFoundError, "private"),
    ],
)
def test_what_ssh_says(
    machine: Machine, by_ssh: Callable[[str], str], says: str, kind: type[Exception], words: str
) -> None:
    git = machine.open_git(GIT_SSH_COMMAND=by_ssh(f'echo "{says}" >&2; exit 255'))
    with pytest.raises(kind) as caught:
        git.open("me@example.invalid:a/b.git")
    assert words in f"{caught.value} {caught.value.hint}"  # type: ignore[attr-defined]


def test_the_web(git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer) -> None:
    repository.git("tag", "v1")
    publish(repository)
    commit = git.open(web.url("project.git"))
    assert (commit.repository, commit.ref) == (web.url("project.git"), "main")
    assert commit.files() == ("a.txt", "models/b.txt")
    assert git.open(web.url("project.git"), "v1").commit == commit.commit


def contents_of(cache: Path, content: str) -> bool:
    """Whether the one mirror in the cache holds a file with this content."""
    (mirror,) = (cache / "mirrors").glob("*.git")
    sha = hashlib.sha1(f"blob {len(content)}\0{content}".encode()).hexdigest()
    listed = subprocess.run(
        ["git", f"--git-dir={mirror}", "cat-file", "--batch-all-objects", "--batch-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    return sha in listed.stdout


def test_contents_of_old_files_are_left_where_they_are(
    git: Git, machine: Machine, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    repository.write("a.txt", "a big old model")
    repository.commit("old")
    repository.commit("new", **{"a.txt": "the new one"})
    publish(repository)
    commit = git.open(web.url("project.git"))
    web.broken = True
    assert commit.read("a.txt") == b"the new one"
    assert contents_of(machine.cache, "the new one")
    assert not contents_of(machine.cache, "a big old model")


def test_all_files_come_in_one_request(
    git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer, tmp_path: Path
) -> None:
    repository.commit(**{f"file{number}.txt": str(number) for number in range(200)})
    publish(repository)
    commit = git.open(web.url("project.git"))
    assert len(web.requests) <= 10
    web.broken = True
    commit.export(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("file*"))) == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"uploadpack_allowFilter": "false"},
        {"uploadpack_allowFilter": "false", "protocol_version": "0"},
        {"protocol_version": "0"},
        {"uploadpack_allowFilter": "true", "uploadpackfilter_allow": "false"},
    ],
    ids=["no filter", "no filter, old protocol", "old protocol", "this filter is refused"],
)
def test_servers_that_can_do_less(
    git: Git,
    repository: Repository,
    publish: Callable[..., Path],
    web: WebServer,
    settings: dict[str, str],
) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "-a", "v1", "-m", "annotated")
    second = repository.commit(**{"a.txt": "2"})
    web.old_protocol = settings.get("protocol_version") == "0"
    publish(repository, **settings)
    url = web.url("project.git")
    assert git.open(url, "v1").commit == first
    assert git.open(url).commit == second
    assert git.open(url, first).read("a.txt") == b"a\n"
    web.broken = True
    assert git.open(url, second).read("models/b.txt") == b"b\n"


def test_a_plain_web_server_without_git(
    git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    target = publish(repository)
    repository.git("--git-dir", str(target), "update-server-info")
    web.dumb = True
    commit = git.open(web.url("project.git"))
    assert commit.files() == ("a.txt", "models/b.txt")
    assert commit.read("a.txt") == b"a\n"


def test_a_password_in_the_url(
    git: Git, machine: Machine, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    (machine.home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    web.user, web.password = "me", "p@ss/wörd"
    publish(repository)
    commit = git.open(web.url("project.git", "me:p%40ss%2Fw%C3%B6rd@"))
    assert commit.repository == web.url("project.git")
    assert commit.read("a.txt") == b"a\n"
    assert not (machine.home / ".git-credentials").exists()
    for path in machine.cache.rglob("*"):
        if path.is_file():
            assert b"ss/w" not in path.read_bytes()
            assert b"ss%2F" not in path.read_bytes()


def test_a_password_is_on_no_command_line(
    machine: Machine, repository: Repository, publish: Callable[..., Path], web: WebServer, tmp_path: Path
) -> None:
    """A program in the place of git notes how it is called."""
    log = tmp_path / "calls"
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("git")
    (folder / "git").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {log}\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    web.user, web.password = "me", "very-secret"
    publish(repository)
    path = f"{folder}:{machine.environment['PATH']}"
    commit = machine.open_git(PATH=path).open(web.url("project.git", "me:very-secret@"))
    commit.read("a.txt")
    assert "ls-remote" in log.read_text()
    assert "very-secret" not in log.read_text()


@pytest.mark.parametrize(
    ("userinfo", "words"),
    [("", "no credential"), ("me:wrong-secret@", "did not take the credential"), ("me@", "no credential")],
)
def test_a_wrong_or_missing_password(
    git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer, userinfo: str, words: str
) -> None:
    web.user, web.password = "me", "secret"
    publish(repository)
    with pytest.raises(UsageError) as caught:
        git.open(web.url("project.git", userinfo))
    assert words in caught.value.message
    assert "bodywork never asks for a password" in (caught.value.hint or "")
    assert "wrong-secret" not in str(caught.value) + repr(caught.value.__cause__)


def test_the_users_credential_helper_answers(
    git: Git, machine: Machine, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    (machine.home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    (machine.home / ".git-credentials").write_text(f"http://me:secret@127.0.0.1:{web.port}\n")
    web.user, web.password = "me", "secret"
    publish(repository)
    assert git.open(web.url("project.git")).read("a.txt") == b"a\n"


def test_no_window_is_opened_for_a_password(
    machine: Machine, repository: Repository, publish: Callable[..., Path], web: WebServer, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\n")
    program.chmod(0o755)
    web.user, web.password = "me", "secret"
    publish(repository)
    with pytest.raises(UsageError):
        machine.open_git(SSH_ASKPASS=str(program), DISPLAY=":0").open(web.url("project.git"))
    assert not asked.exists()


def test_no_such_folder(git: Git, repository: Repository) -> None:
    with pytest.raises(NotFoundError) as caught:
        git.open(str(repository.path.parent / "projekt"))
    assert caught.value.hint == f"did you mean {repository.path}?"


def test_not_a_repository(git: Git, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(NotFoundError, match="is not a Git repository"):
        git.open(str(tmp_path / "plain"))
    (tmp_path / "file").touch()
    with pytest.raises(NotFoundError, match="is a file"):
        git.open(str(tmp_path / "file"))
    with pytest.raises(NotFoundError, match="is not a Git repository"):
        git.open(f"file://{tmp_path}/missing")


def test_no_such_repository_on_a_host(git: Git, web: WebServer) -> None:
    with pytest.raises(NotFoundError, match="has no repository"):
        git.open(web.url("missing.git"))


def test_nobody_listens(git: Git) -> None:
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 cannot be reached"):
        git.open("http://127.0.0.1:1/a")


def test_a_host_without_an_address(git: Git) -> None:
    with pytest.raises(UnreachableError, match="has no address"):
        git.open("https://host.invalid/a")


def test_a_server_in_trouble(
    git: Git, repository: Repository, publish: Callable[..., Path], web: WebServer
) -> None:
    publish(repository)
    web.broken = True
    with pytest.raises(UnreachableError, match="503"):
        git.open(web.url("project.git"))


def test_programs_are_never_run_for_an_address(git: Git, tmp_path: Path) -> None:
    for location in (f"ext::sh -c 'touch {tmp_path}/x'", f"--upload-pack=touch {tmp_path}/x", "fd::3"):
        with pytest.raises(UsageError):
            git.open(location)
    assert not (tmp_path / "x").exists()


def test_an_address_rewritten_to_a_program_is_refused(git: Git, machine: Machine, tmp_path: Path) -> None:
    config = f'[url "ext::touch {tmp_path}/x "]\n\tinsteadOf = https://example.invalid/\n'
    config += "[protocol]\n\tallow = always\n"
    (machine.home / ".gitconfig").write_text(config)
    with pytest.raises(UsageError, match="not allowed"):
        git.open("https://example.invalid/a")
    assert not (tmp_path / "x").exists()


def test_an_address_that_the_user_has_rewritten(git: Git, machine: Machine, repository: Repository) -> None:
    config = f'[url "file://{repository.path.parent}/"]\n\tinsteadOf = https://example.invalid/\n'
    (machine.home / ".gitconfig").write_text(config)
    assert git.open("https://example.invalid/project").files() == ("a.txt", "models/b.txt")


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give a folder to another user")
def test_a_repository_of_another_user(git: Git, repository: Repository) -> None:
    os.chown(repository.path, 65534, 65534)
    os.chown(repository.path / ".git", 65534, 65534)
    with pytest.raises(UsageError) as caught:
        git.open(str(repository.path))
    assert "belongs to another user" in caught.value.message
    assert caught.value.hint is not None
    assert f"safe.directory {repository.path}" in caught.value.hint


def test_no_git(machine: Machine, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="not found on this machine"):
        machine.open_git(PATH=str(tmp_path)).open(str(repository.path))


def test_an_old_git(machine: Machine, repository: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    script = '#!/bin/sh\nfor last do :; done\n[ "$last" = version ] && echo git version 2.17.1 && exit\n'
    script += f'exec {shutil.which("git")} "$@"\n'
    (folder / "git").write_text(script)
    (folder / "git").chmod(0o755)
    with pytest.raises(MachineError, match=r"2\.17\.1, which is too old"):
        machine.open_git(PATH=f"{folder}:{os.environ['PATH']}").open(str(repository.path))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(git: Git, machine: Machine, repository: Repository) -> None:
    machine.cache.mkdir()
    machine.cache.chmod(0o500)
    with pytest.raises(MachineError, match="cannot be written"):
        git.open(str(repository.path))


def test_a_cache_where_a_file_is_in_the_way(git: Git, machine: Machine, repository: Repository) -> None:
    machine.cache.write_text("")
    for location in (str(repository.path), f"file://{repository.path}"):
        with pytest.raises(MachineError, match="cannot be written"):
            git.open(location)


def test_an_empty_repository(git: Git, new_repository: Callable[[str], Repository], tmp_path: Path) -> None:
    empty = new_repository("empty")
    for location in (str(empty.path), f"file://{empty.path}"):
        with pytest.raises(UsageError, match="no commit yet"):
            git.open(location)
    with pytest.raises(UsageError):
        git.open(str(empty.path), "main")


def test_sha256_repositories_are_named_as_such(git: Git, tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "new"
    for command in (
        ["init", "-q", "--object-format=sha256", str(path)],
        ["-C", str(path), "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], check=True, env=machine.environment)
    with pytest.raises(UsageError, match=r"SHA|kind that is not supported|sha256") as caught:
        git.open(str(path))
    assert caught.value.hint


def test_variables_of_a_surrounding_git_do_not_mislead(
    machine: Machine, repository: Repository, new_repository: Callable[[str], Repository]
) -> None:
    other = new_repository("other")
    other.commit(**{"x.txt": "x"})
    git = machine.open_git(
        GIT_DIR=str(other.path / ".git"), GIT_WORK_TREE=str(other.path), GIT_INDEX_FILE="/nowhere"
    )
    assert git.open(str(repository.path)).files() == ("a.txt", "models/b.txt")
