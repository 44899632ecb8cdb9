"""`bodywork secret`: what it takes, what it refuses, and what it leaves on the disk."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

import pytest

from tool import Repository, Tool

TOKEN = "s3cr3t/tok+n for you"
PRIVATE = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'


def file_of(tool: Tool, *names: str) -> Path:
    return tool.home.joinpath("state", "secrets", *names)


def test_files_are_the_owners_alone_and_groups_are_folders(tool: Tool) -> None:
    before = os.umask(0)
    try:
        tool.told("secret", "set", "db", "PASSWORD", "--group", "prod", text="one\n")
        tool.told("secret", "set", "db", "PASSWORD", text="two")
    finally:
        os.umask(before)
    path = file_of(tool, "prod", "db", "PASSWORD")
    assert (path.read_text(), file_of(tool, "db", "PASSWORD").read_text()) == ("one\n", "two\n")
    assert path.stat().st_mode & 0o777 == 0o600
    for folder in (path.parent, path.parent.parent, file_of(tool)):
        assert folder.stat().st_mode & 0o777 == 0o700
    listed = tool.good("secret", "list", "-o", "json").json
    assert [(one["name"], one["group"], one["keys"][0]["key"]) for one in listed] == [
        ("db", None, "PASSWORD"),
        ("db", "prod", "PASSWORD"),
    ]
    assert "one" not in tool.good("secret", "list").out
    assert "--yes" in tool("secret", "delete", "db").err
    tool.good("secret", "delete", "db", "--yes")
    tool.good("secret", "delete", "db", "PASSWORD", "--group", "prod", "--yes")
    assert tool.good("secret", "list", "-o", "json").json == []
    assert list(file_of(tool).iterdir()) == []


def test_files_and_env_files(tool: Tool, repository: Repository) -> None:
    (tool.home / "key.pem").write_text(PRIVATE)
    (tool.home / "cloud.env").write_text("# the team's\nexport ID=abc\nSALT='x # y'\n\nTEXT=\"a\\nb\"\n")
    tool.good("secret", "set", "aws", "KEY", "--from-file", "key.pem")
    tool.good("secret", "set", "aws", "--from-env-file", "cloud.env")
    tell = "import os\nassert os.environ['KEY'] == open(os.environ['HOME'] + '/key.pem').read()\n"
    tell += "assert [os.environ[n] for n in ('ID', 'SALT', 'TEXT')] == ['abc', 'x # y', 'a\\nb']\n"
    secrets = "secrets: {KEY: aws, ID: aws, SALT: aws, TEXT: aws}"
    repository.commit(
        {"bodywork.yaml": f"{HEAD}stages:\n  one: {{run: one.py, {secrets}}}\n", "one.py": tell}
    )
    tool.good("deploy", str(repository.path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("A=1\nhunter2\n", "cloud.env:2: not a line like KEY=VALUE"),
        ("A=1\nhunt er2=x\n", "cloud.env:2: not a line"),
        ("A=1\nhunter2=\n", "cloud.env:2: the value is empty"),
        ("A='hunter2\n", "cloud.env:1: the quote at the beginning"),
        ("A=1\nA=hunter2\n", "cloud.env:2: A is in line 1 too"),
        ("# nothing\n", "has no line like KEY=VALUE"),
    ],
)
def test_a_wrong_env_file_changes_nothing_and_shows_nothing(tool: Tool, text: str, sentence: str) -> None:
    (tool.home / "cloud.env").write_text(text)
    answer = tool("secret", "set", "aws", "--from-env-file", "cloud.env")
    assert answer.code == 2 and sentence in answer.err and "hunter2" not in answer.err
    assert not file_of(tool, "aws").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["x", "KEY", "hunter2"], b""),
        (["x", "KEY=hunter2"], b""),
        (["x", "KEY"], b""),
        (["x", "KEY"], b"hunter2\0"),
        (["x", "KEY"], b"hunter2\xff"),
        (["x", "KEY"], b"hunter2" * 30_000),
        (["../x", "KEY"], b"hunter2"),
        (["x", "../KEY"], b"hunter2"),
        (["x", "KEY", "--group", ".."], b"hunter2"),
        (["x/y", "KEY"], b"hunter2"),
        (["x"], b"hunter2"),
    ],
)
def test_what_is_refused(tool: Tool, arguments: list[str], text: bytes) -> None:
    answer = tool.told("secret", "set", *arguments, text=text)
    assert answer.code == 2 and "hunter2" not in answer.out + answer.err
    assert not list(tool.home.rglob("KEY"))


OLD = """
version: "1.1"
pipeline: {name: old, docker_image: "bodyworkml/bodywork-core:3.0", DAG: one}
stages:
  one:
    executable_module_path: one.py
    requirements: []
    cpu_request: 0.5
    memory_request_mb: 100
    batch: {max_completion_time_seconds: 30, retries: 0}
    secrets: {KEY: ../secrets/..}
"""


def test_an_old_project_cannot_name_a_file_elsewhere(tool: Tool, repository: Repository) -> None:
    (tool.home / "state").mkdir()
    (tool.home / "state" / "KEY").write_text("hunter2")
    (tool.home / "state" / "KEY").chmod(0o600)
    repository.commit({"bodywork.yaml": OLD, "one.py": "import os\nprint(os.environ['KEY'])\n"})
    answer = tool("deploy", str(repository.path))
    assert answer.code == 2 and "cannot be the name of a secret" in answer.err


def test_on_a_terminal_it_is_asked_for_and_not_shown(tool: Tool) -> None:
    command = [sys.executable, "-m", "bodywork", "secret", "set", "weather", "API_TOKEN"]
    pid, terminal = pty.fork()
    if not pid:
        os.execve(sys.executable, command, tool.env)
    shown, typed = b"", False
    while select.select([terminal], [], [], 30)[0]:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        shown += data
        if b"not shown" in shown and not typed:
            typed = True
            time.sleep(0.2)  # getpass turns echo off right before it reads
            os.write(terminal, f"{TOKEN}\n".encode())
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    assert TOKEN.encode() not in shown and b"set weather/API_TOKEN" in shown
    assert file_of(tool, "weather", "API_TOKEN").read_text() == f"{TOKEN}\n"
