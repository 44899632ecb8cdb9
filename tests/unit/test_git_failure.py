# ruff: noqa: E501 (what the programs print is kept as they print it)
"""What git, ssh and curl print, and the sentences that come of it. The texts are theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bodywork.errors import BodyworkError, MachineError, NotFoundError, UnreachableError, UsageError
from bodywork.git.failure import explain
from bodywork.git.location import parse
from bodywork.git.program import GitError
from bodywork.git.ssh import Key

HTTPS = "https://example.org/a/b.git"
SSH = "ssh://git@example.org:2222/a/b.git"
UNKNOWN_KEY = """\
No ED25519 host key is known for [example.org]:2222 and you have requested strict checking.
Host key verification failed.
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists."""
CHANGED_KEY = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Host key for [example.org]:2222 has changed and you have requested strict checking.
Host key verification failed."""


@pytest.mark.parametrize(
    ("url", "output", "kind", "words"),
    [
        (HTTPS, f"fatal: unable to access '{HTTPS}/': Could not resolve host: example.org", UnreachableError, "no address"),
        (HTTPS, "fatal: unable to access 'x': Failed to connect to example.org port 443 after 0 ms: Couldn't connect to server", UnreachableError, "cannot be reached"),
        (HTTPS, "fatal: unable to access 'x': SSL certificate problem: self-signed certificate", UnreachableError, "certificate"),
        (HTTPS, "fatal: unable to access 'x': The requested URL returned error: 503", UnreachableError, "503"),
        (HTTPS, "error: RPC failed; curl 56 Recv failure\nfatal: early EOF", UnreachableError, "early EOF"),
        (HTTPS, "fatal: could not read Username for 'https://example.org': terminal prompts disabled", UsageError, "credential helper"),
        (HTTPS, "remote: Invalid username or password.\nfatal: Authentication failed for 'https://example.org/a/b.git/'", UsageError, "never asks for a password"),
        (HTTPS, "fatal: unable to access 'x': The requested URL returned error: 403", UsageError, "credential helper"),
        (HTTPS, "fatal: Authentication failed for 'https://example.org/a/b.git/'", UsageError, "wrong or has expired"),
        (HTTPS, "fatal: unable to access 'x': The requested URL returned error: 403", UsageError, "the right to read"),
        (HTTPS, "remote: Repository not found.\nfatal: repository 'https://example.org/a/b.git/' not found", NotFoundError, "private"),
        (SSH, "ssh: Could not resolve hostname example.org: Name or service not known\nfatal: Could not read from remote repository.", UnreachableError, "no address"),
        (SSH, "ssh: connect to host example.org port 2222: Connection refused\nfatal: Could not read from remote repository.", UnreachableError, "refused"),
        (SSH, "ssh: connect to host example.org port 2222: Connection timed out", UnreachableError, "timed out"),
        (SSH, "error: cannot run ssh: No such file or directory\nfatal: unable to fork", MachineError, "openssh-client"),
        (SSH, "ssh -o BatchMode=yes: 1: ssh: not found\nfatal: Could not read from remote repository.", MachineError, "openssh-client"),
        (SSH, "kex_exchange_identification: Connection closed by remote host", UnreachableError, "cannot be reached"),
        (SSH, "git@example.org: Permission denied (publickey).\nfatal: Could not read from remote repository.", UsageError, "ssh-add"),
        (SSH, "ERROR: Permission to a/b.git denied to deploy key\nfatal: Could not read from remote repository.", UsageError, "lets us in"),
        (SSH, "fatal: detected dubious ownership in repository at '/srv/a'\nfatal: Could not read from remote repository.", UsageError, "on that host"),
        (SSH, "@    WARNING: REVOKED HOST KEY DETECTED!    @\nHost key verification failed.", UsageError, "revoked"),
        (SSH, "Connection timed out during banner exchange\nConnection to example.org port 2222 timed out\nfatal: Could not read from remote repository.", UnreachableError, "banner exchange"),
        (SSH, "ERROR: Repository not found.\nfatal: Could not read from remote repository.", NotFoundError, "no repository"),
        (SSH, UNKNOWN_KEY, UsageError, "bodywork git trust example.org:2222 shows"),
        (SSH, CHANGED_KEY, UsageError, "bodywork git trust example.org:2222 --replace"),
        ("git@example.org:a", UNKNOWN_KEY, UsageError, "bodywork git trust example.org shows"),
        ("git://example.org/a", "fatal: unable to connect to example.org:\nexample.org[0: 1.2.3.4]: errno=Connection refused", UnreachableError, "cannot be reached"),
        ("git://example.org/a", "fatal: remote error: access denied or repository not exported: /a", NotFoundError, "no repository"),
        ("/srv/a", "fatal: detected dubious ownership in repository at '/srv/a'", UsageError, "safe.directory /srv/a"),
        ("/srv/a", "fatal: unsafe repository ('/srv/a' is owned by someone else)", UsageError, "safe.directory /srv/a"),
        ("/srv/a", "fatal: not a git repository (or any of the parent directories): .git", NotFoundError, "git init"),
        ("/srv/a", "fatal: transport 'file' not allowed", UsageError, "GIT_ALLOW_PROTOCOL"),
        ("/srv/a", "fatal: mismatched algorithms: client sha1; server sha256", UsageError, "SHA-1"),
        (HTTPS, "fatal: write error: No space left on device", MachineError, "make room"),
        (HTTPS, "fatal: something new", UnreachableError, "something new"),
    ],
)  # fmt: skip
def test_sentences(url: str, output: str, kind: type[BodyworkError], words: str) -> None:
    error = explain(GitError(("fetch", "origin"), 128, output), parse(url))
    assert type(error) is kind
    assert words in f"{error.message} {error.hint}"
    assert "\n" not in error.message


def test_a_host_that_does_not_answer_in_time() -> None:
    error = explain(GitError(("ls-remote",), None, ""), parse(SSH))
    assert isinstance(error, UnreachableError)
    assert "example.org:2222 did not answer in time" in error.message


def test_an_address_of_version_6_is_named_as_it_is_typed() -> None:
    error = explain(GitError(("fetch",), 128, UNKNOWN_KEY), parse("ssh://git@[::1]:2222/a"))
    assert error.hint is not None and "bodywork git trust [::1]:2222 " in error.hint


def test_a_named_key_is_spoken_of() -> None:
    said = "git@example.org: Permission denied (publickey)."
    for locked, words in ((True, "ssh-add /keys/one"), (False, "ssh-keygen -y -f /keys/one")):
        key = Key(path=Path("/keys/one"), locked=locked)
        error = explain(GitError(("fetch",), 128, said, key), parse(SSH))
        assert error.hint is not None and words in error.hint
        assert "/keys/one" in error.message


def test_the_ssh_hint_can_be_typed() -> None:
    for url, command in (
        (SSH, "ssh -o BatchMode=yes -T -p 2222 git@example.org"),
        ("git@example.org:a/b.git", "ssh -o BatchMode=yes -T git@example.org"),
    ):
        error = explain(GitError(("fetch",), 128, "Permission denied (publickey)."), parse(url))
        assert error.hint is not None
        assert error.hint.endswith(command)
