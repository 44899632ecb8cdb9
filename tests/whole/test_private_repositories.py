"""Private repositories as a user meets them: refused with a command that helps, and no credential stays."""

from __future__ import annotations

import base64
import functools
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import sshd
from tool import Repository, Tool, wait_for

PROJECT = {
    "bodywork.yaml": 'version: "2"\nname: flowers\npython: "3.11"\nstages:\n  one: {run: one.py}\n',
    "one.py": "print('petals')\n",
}
TOKEN = "tok-3Fq9vWZkT2m8Yx1LrB7d"

needs_sshd = pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.SshServer]:
    with sshd.running(tmp_path / "sshd") as made:
        yield made


@pytest.fixture
def bare(repository: Repository, tmp_path: Path) -> Path:
    repository.commit(PROJECT)
    path = tmp_path / "hosted" / "flowers.git"
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(path))
    repository.git("--git-dir", str(path), "update-server-info")
    return path


def said_yes(tool: Tool, *arguments: str, answer: str = "y\n") -> str:
    """What a command shows on a terminal where somebody answers its question."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bodywork", *arguments]
    child = subprocess.Popen(
        command, env=tool.env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown, answered = b"", False
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the terminal is closed with the last process on it
                break
            shown += piece
            if b"[y/N]" in shown and not answered:
                os.write(ours, answer.encode())
                answered = True
        child.wait(timeout=10)
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    return shown.decode()


def command_in(text: str) -> list[str]:
    """The command that an error names."""
    found = re.search(r"bodywork (git trust \S+(?: --replace)?)", text)
    assert found, text
    return shlex.split(found[1])


@needs_sshd
def test_from_the_first_refusal_to_a_run(tool: Tool, server: sshd.SshServer, bare: Path) -> None:
    tool.extra["GIT_SSH_COMMAND"] = server.configure(key=server.other)
    url = server.url(bare)

    unknown = tool("deploy", url)
    assert unknown.code == 2
    shown = said_yes(tool, *command_in(unknown.err))
    assert all(sshd.fingerprint(key) in shown for key in server.host_keys)
    assert "is trusted by" in shown

    wrong = tool("deploy", url)
    assert wrong.code == 2 and "--ssh-key-file" in wrong.err
    assert tool.good("validate", url, "--ref", "main", "--ssh-key-file", str(server.key))
    assert tool.good("deploy", url, "--ssh-key-file", str(server.key))
    tool.extra["BODYWORK_SSH_KEY_FILE"] = str(server.key)
    assert tool.good("plan", url, "--output", "json").json["pipeline"] == "flowers"
    del tool.extra["BODYWORK_SSH_KEY_FILE"]

    server.change_host_keys()
    changed = tool("plan", url, "--ssh-key-file", str(server.key))
    assert changed.code == 2
    assert command_in(changed.err)[-1] == "--replace"
    shown = said_yes(tool, *command_in(changed.err), answer="n\n")
    assert "nothing was written" in shown
    assert tool("plan", url, "--ssh-key-file", str(server.key)).code == 2
    said_yes(tool, *command_in(changed.err))
    assert tool.good("plan", url, "--ssh-key-file", str(server.key))


@needs_sshd
def test_a_script_trusts_by_fingerprint(tool: Tool, server: sshd.SshServer, bare: Path) -> None:
    tool.extra["GIT_SSH_COMMAND"] = server.configure()
    nobody = tool("git", "trust", server.host)
    assert nobody.code == 2 and "--fingerprint" in nobody.err
    tool.good("git", "trust", server.host, "--fingerprint", sshd.fingerprint(server.host_keys[0]))
    assert "known already" in tool.good("git", "trust", server.host).out
    assert tool.good("plan", server.url(bare))


@needs_sshd
def test_a_key_out_of_a_secret(tool: Tool, server: sshd.SshServer, bare: Path) -> None:
    server.trust()
    tool.extra["GIT_SSH_COMMAND"] = server.configure(key=server.other)
    url, key = server.url(bare), ("flowers-git", "SSH_PRIVATE_KEY")
    missing = tool("deploy", url, "--git-secret", "flowers-git")
    assert missing.code == 2 and "there is no secret flowers-git" in missing.err
    tool.good("secret", "set", *key, "--from-file", str(server.other))
    wrong = tool("deploy", url, "--git-secret", "flowers-git")
    assert wrong.code == 2 and "does not open it" in wrong.err
    tool.good("secret", "set", *key, "--from-file", str(server.key))
    assert tool.good("deploy", url, "--git-secret", "flowers-git")
    assert tool.good("validate", url, "--ref", "main", "--git-secret", "flowers-git")
    tool.extra["BODYWORK_GIT_SECRET"] = "flowers-git"
    assert tool.good("plan", url)
    both = tool("plan", url, "--ssh-key-file", str(server.key))
    assert both.code == 2
    assert "--ssh-key-file and --git-secret are two ways to open the repository" in both.err


@needs_sshd
def test_a_schedule_keeps_the_name_of_the_secret(tool: Tool, server: sshd.SshServer, bare: Path) -> None:
    server.trust()
    tool.extra["GIT_SSH_COMMAND"] = server.configure(key=server.other)
    tool.good("secret", "set", "flowers-git", "SSH_PRIVATE_KEY", "--from-file", str(server.key))
    tool.good("schedule", server.url(bare), "--cron", "0 6 1 1 *", "--git-secret", "flowers-git")
    tool.good("schedule", "run-now", "flowers")
    found = wait_for(
        lambda: [one for one in tool.good("runs", "--output", "json").json if one["state"] == "succeeded"]
    )
    assert found[0]["date"] is not None


def test_a_token_out_of_a_secret(tool: Tool, web: str, tmp_path: Path) -> None:
    """By https; and where the address and the secret do not fit, that is said."""
    tool.cache = tmp_path / "cache"
    assert tool.told("secret", "set", "flowers-git", "PASSWORD", text=f"{TOKEN}old").code == 0
    assert tool.told("secret", "set", "flowers-git", "USERNAME", text="me").code == 0
    expired = tool("deploy", f"http://{web}", "--git-secret", "flowers-git")
    assert expired.code == 2
    assert "wrong or has expired" in expired.err
    assert "give it to the secret (bodywork secret set flowers-git PASSWORD)" in expired.err
    assert tool.told("secret", "set", "flowers-git", "PASSWORD", text=TOKEN).code == 0
    answers = [expired, tool.good("deploy", f"http://{web}", "--git-secret", "flowers-git")]
    by_ssh = tool("plan", "git@git.invalid:team/flowers", "--git-secret", "flowers-git")
    assert by_ssh.code == 2
    assert "has no SSH_PRIVATE_KEY, which opens repositories by ssh; it has PASSWORD, USERNAME" in by_ssh.err
    forms = (TOKEN, base64.b64encode(f"me:{TOKEN}".encode()).decode())
    kept = [path for root in (tool.home, tool.cache) for path in root.rglob("*") if path.is_file()]
    for form in forms:
        assert not any(form in answer.out + answer.err for answer in answers)
        assert [p for p in kept if form.encode() in p.read_bytes() and "secrets" not in p.parts] == []


def test_a_key_that_ssh_would_not_take(tool: Tool, tmp_path: Path) -> None:
    answer = tool("plan", "git@git.invalid:team/flowers", "--ssh-key-file", str(tmp_path / "nothing"))
    assert answer.code == 2
    assert f"the ssh key {tmp_path / 'nothing'} is not there" in answer.err


@pytest.fixture
def web(bare: Path) -> Iterator[str]:
    """The address, without its scheme, of a web server that gives the repository to who has the token."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()
            if self.headers.get("Authorization") == wanted:
                super().do_GET()
                return
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    serve: Callable[..., SimpleHTTPRequestHandler] = functools.partial(Handler, directory=str(bare.parent))
    listener = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{listener.server_address[1]}/flowers.git"
    listener.shutdown()
    listener.server_close()
    thread.join()


def test_a_token_leaves_no_trace(tool: Tool, web: str, tmp_path: Path) -> None:
    """In what is said, recorded, logged and kept: neither as it is nor as it goes over the wire."""
    tool.cache = tmp_path / "cache"
    answers = [
        tool.good("deploy", f"http://me:{TOKEN}@{web}"),
        tool.good("plan", f"http://me:{TOKEN}@{web}"),
        tool.good("status", "--output", "json"),
        tool.good("runs", "--output", "json"),
        tool.good("logs", "flowers"),
        tool("plan", f"http://me:{TOKEN}x@{web}"),
        tool("plan", f"http://{TOKEN}@{web}"),
    ]
    assert [answer.code for answer in answers] == [0, 0, 0, 0, 0, 2, 2]
    assert "petals" in answers[4].out
    forms = (TOKEN, base64.b64encode(f"me:{TOKEN}".encode()).decode())
    kept = [path for root in (tool.home, tool.cache) for path in root.rglob("*") if path.is_file()]
    assert any(path.name == "config" for path in kept)
    for form in forms:
        assert not any(form in answer.out + answer.err for answer in answers)
        assert [path for path in kept if form.encode() in path.read_bytes()] == []


def test_a_helper_answers_for_a_token(tool: Tool, web: str) -> None:
    tokens = tool.home / "tokens"
    tokens.write_text(f"http://me:{TOKEN}@{web.partition('/')[0]}\n")
    (tool.home / ".gitconfig").write_text(f'[credential]\n\thelper = "store --file {tokens}"\n')
    assert tool.good("deploy", f"http://{web}")
    tokens.write_text(f"http://me:old@{web.partition('/')[0]}\n")
    expired = tool("deploy", f"http://{web}")
    assert expired.code == 2
    assert "wrong or has expired" in expired.err
