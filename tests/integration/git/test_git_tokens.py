"""Private repositories over the web: who answers for a token, who sees it, and what is said without one."""

from __future__ import annotations

import base64
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bodywork.errors import UnreachableError, UsageError
from bodywork.git import Git

from .conftest import Machine, Repository, WebServer

TOKEN = "tok-3Fq9vWZkT2m8Yx1LrB7d"
FORMS = (TOKEN, base64.b64encode(f"me:{TOKEN}".encode()).decode(), base64.b64encode(TOKEN.encode()).decode())

Publish = Callable[..., Path]


@pytest.fixture
def private(web: WebServer, repository: Repository, publish: Publish) -> WebServer:
    """A server that gives project.git to the user `me` with the token."""
    publish(repository)
    web.user, web.password = "me", TOKEN
    return web


def with_helper(machine: Machine, web: WebServer, password: str = TOKEN) -> Path:
    """The user's credential helper is `store`, with a file of its own."""
    file = machine.home / "tokens"
    file.write_text(f"http://me:{password}@127.0.0.1:{web.port}\n")
    helper = f'[credential]\n\thelper = "store --file {file}"\n'
    (machine.home / ".gitconfig").write_text(helper)
    return file


def refused(git: Git, location: str) -> str:
    begun = time.monotonic()
    with pytest.raises(UsageError) as caught:
        git.open(location)
    assert time.monotonic() - begun < 10
    said = f"{caught.value.message}\n{caught.value.hint}"
    assert not any(form in said + repr(caught.value.__cause__) for form in FORMS)
    return said


def holding(folder: Path, text: str) -> list[Path]:
    """The files below a folder that hold a text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_helper_with_a_file_answers(git: Git, machine: Machine, private: WebServer) -> None:
    with_helper(machine, private)
    assert git.open(private.url("project.git")).read("a.txt") == b"a\n"
    assert not holding(machine.cache, TOKEN)


def test_a_helper_reads_a_variable_as_in_ci(machine: Machine, private: WebServer) -> None:
    helper = '!f() { test "$1" = get && printf "username=me\\npassword=%s\\n" "$GIT_TOKEN"; }; f'
    key = f"credential.http://127.0.0.1:{private.port}.helper"
    subprocess.run(["git", "config", "--global", key, helper], env=machine.environment, check=True)
    git = machine.open_git(GIT_TOKEN=TOKEN)
    assert git.open(private.url("project.git")).read("a.txt") == b"a\n"


def test_the_users_askpass_answers(machine: Machine, private: WebServer, tmp_path: Path) -> None:
    ask = tmp_path / "askpass"
    ask.write_text('#!/bin/sh\ncase "$1" in User*) echo me ;; *) echo "$GIT_PASSWORD" ;; esac\n')
    ask.chmod(0o700)
    git = machine.open_git(GIT_ASKPASS=str(ask), GIT_PASSWORD=TOKEN)
    assert git.open(private.url("project.git")).read("a.txt") == b"a\n"


def test_a_wrong_token_of_a_helper(git: Git, machine: Machine, private: WebServer) -> None:
    with_helper(machine, private, "tok-wrong")
    said = refused(git, private.url("project.git"))
    assert "did not take the credential" in said
    assert "wrong or has expired" in said
    assert "tok-wrong" not in said


def test_a_token_that_has_expired(git: Git, machine: Machine, private: WebServer) -> None:
    with_helper(machine, private)
    commit = git.open(private.url("project.git"))
    private.password = "another"
    assert "wrong or has expired" in refused(git, private.url("project.git"))
    assert git.open(private.url("project.git"), commit.commit).read("a.txt") == b"a\n"


def test_a_token_in_the_url_that_has_expired(git: Git, private: WebServer) -> None:
    private.password = "another"
    said = refused(git, private.url("project.git", f"me:{TOKEN}@"))
    assert "wrong or has expired" in said and "give it to the URL" in said


def test_a_token_without_the_right_to_read(git: Git, machine: Machine, private: WebServer) -> None:
    with_helper(machine, private)
    private.forbidden = True
    said = refused(git, private.url("project.git"))
    assert "knows who we are and does not let us read" in said
    assert "the right to read this repository" in said


def test_no_token_at_all(git: Git, private: WebServer) -> None:
    said = refused(git, private.url("project.git"))
    assert "there is no credential for it" in said
    assert "credential helper" in said


def test_a_token_as_the_user_of_a_url_is_not_shown(git: Git, private: WebServer) -> None:
    assert "no credential" in refused(git, private.url("project.git", f"{TOKEN}@"))


def commands() -> str:
    """The argument lists of all processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(found).decode(errors="replace")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc on this machine")
def test_a_token_in_the_url_is_nowhere_to_be_seen(
    git: Git, machine: Machine, private: WebServer, tmp_path: Path
) -> None:
    """Looked at whenever the server is asked: git and all its helpers run then."""
    seen: list[str] = []
    private.asked = lambda: seen.append(commands())
    commit = git.open(private.url("project.git", f"me:{TOKEN}@"))
    commit.export(tmp_path / "out")
    assert len(seen) >= 2 and all("git" in one for one in seen)
    for form in FORMS:
        assert not any(form in one for one in seen)
        assert not holding(machine.cache, form)
        assert not holding(machine.home, form)
        assert not any(form in one for one in machine.told)
    assert TOKEN not in repr(commit) + commit.repository


@pytest.fixture
def moved(web: WebServer) -> Iterator[ThreadingHTTPServer]:
    """An old host that sends everybody to the new one; `headers` are what it was told."""
    headers: list[str] = []

    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers.append(str(self.headers))
            self.send_response(301)
            self.send_header("Location", f"http://127.0.0.1:{web.port}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    listener.headers = headers  # type: ignore[attr-defined]
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield listener
    listener.shutdown()
    listener.server_close()
    thread.join()


def test_a_repository_that_moved_on_its_host(git: Git, private: WebServer) -> None:
    private.moved = {"/old.git": "/project.git"}
    commit = git.open(private.url("old.git", f"me:{TOKEN}@"))
    assert commit.read("a.txt") == b"a\n"
    assert commit.repository == private.url("old.git")


def test_a_token_is_not_given_to_the_host_that_a_repository_moved_to(
    git: Git, private: WebServer, moved: ThreadingHTTPServer
) -> None:
    old = f"http://me:{TOKEN}@127.0.0.1:{moved.server_address[1]}/project.git"
    said = refused(git, old)
    assert "no credential" in said
    assert not any("Authorization" in one for one in private.headers)


def test_the_helper_answers_for_the_host_that_a_repository_moved_to(
    git: Git, machine: Machine, private: WebServer, moved: ThreadingHTTPServer
) -> None:
    with_helper(machine, private)
    commit = git.open(f"http://127.0.0.1:{moved.server_address[1]}/project.git")
    assert commit.read("a.txt") == b"a\n"
    told: list[str] = moved.headers  # type: ignore[attr-defined]
    assert told and not any("Authorization" in one for one in told)


@pytest.mark.slow
def test_a_host_that_takes_the_call_and_says_nothing(git: Git) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(UnreachableError) as caught:
            git.open(f"http://{host}/a")
    assert time.monotonic() - begun < 30
    assert host in caught.value.message and caught.value.hint


@pytest.mark.skipif(
    subprocess.run(["git", "lfs", "version"], capture_output=True, check=False).returncode != 0,
    reason="there is no git-lfs on this machine: apt install git-lfs",
)
def test_files_in_lfs_are_fetched_with_the_same_token(
    git: Git,
    machine: Machine,
    private: WebServer,
    new_repository: Callable[[str], Repository],
    publish: Publish,
) -> None:
    """The pointer names a file that the host has; it is given only to whom it knows."""
    content = b"weights\n"
    made = new_repository("with-lfs")
    made.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    made.write("model.bin", private.keep_in_lfs(content))
    made.commit("model")
    publish(made, "lfs.git")
    commit = git.open(private.url("lfs.git", f"me:{TOKEN}@"))
    commit.export(machine.home / "out")
    assert (machine.home / "out" / "model.bin").read_bytes() == content
    assert not holding(machine.cache, TOKEN)
