"""A schedule of a private repository: a real sshd on loopback, strict host keys, nobody at the keyboard."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sshd
from tool import Repository, Tool, wait_for

pytestmark = pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd")

PROJECT = {
    "bodywork.yaml": f"""
version: "2"
name: iris
python: "{sys.version_info.major}.{sys.version_info.minor}"
stages: {{train: {{run: train.py}}}}
""",
    "train.py": "print('first')\n",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.SshServer]:
    with sshd.running(tmp_path / "sshd") as made:
        made.trust()
        yield made


@pytest.fixture
def hosted(repository: Repository, tmp_path: Path) -> Path:
    repository.commit(PROJECT)
    path = tmp_path / "hosted" / "iris.git"
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(path))
    return path


def rows(tool: Tool, count: int) -> list[dict[str, Any]]:
    """The history, when so many times have ended."""

    def found() -> list[dict[str, Any]] | None:
        told: list[dict[str, Any]] = tool.good("schedule", "history", "iris", "-o", "json").json
        open_ = [row for row in told if row["state"] in ("waiting", "running")]
        return told if len(told) == count and not open_ else None

    result: list[dict[str, Any]] = wait_for(found, seconds=60, every=0.3)
    return result


@pytest.mark.parametrize("way", ["file", "secret"])
def test_the_agent_opens_it_with_what_the_schedule_was_given(
    tool: Tool, server: sshd.SshServer, hosted: Path, repository: Repository, way: str
) -> None:
    """ssh itself has no key at all: neither when the schedule is made nor later."""
    tool.extra["GIT_SSH_COMMAND"] = server.configure(key=server.folder / "none")
    url = server.url(hosted)
    refused = tool("schedule", url, "--cron", "@yearly")
    assert refused.code == 2 and tool.good("schedule", "list", "-o", "json").json == []
    given = ["--ssh-key-file", str(server.key)]
    if way == "secret":
        tool.good("secret", "set", "deploy-key", "SSH_PRIVATE_KEY", "--from-file", str(server.key))
        given = ["--git-secret", "deploy-key"]
    tool.good("schedule", url, "--cron", "@yearly", *given)
    repository.commit({"train.py": "print('second')\n"})
    repository.git("push", "--quiet", str(hosted), "main")
    tool.good("schedule", "run-now", "iris")
    assert rows(tool, 1)[0]["state"] == "succeeded"
    assert "train | second" in tool.good("schedule", "logs", "iris").out

    server.known_hosts.write_text("")
    tool.good("schedule", "run-now", "iris")
    row = rows(tool, 2)[0]
    assert (row["state"], row["run"]) == ("failed", None)
    assert "host" in row["reason"] and "git trust" in tool.good("schedule", "logs", "iris").out
    assert nothing_of(server.key, tool.home / "state", but="secrets")


def nothing_of(key: Path, folder: Path, *, but: str) -> bool:
    """Whether no file there holds a line of the key, but those of a folder that may."""
    secret = key.read_text().splitlines()[2]
    files = [path for path in folder.rglob("*") if path.is_file() and but not in path.parts]
    return not [path for path in files if secret.encode() in path.read_bytes()]


def test_a_key_that_is_gone_costs_a_time_and_no_more(
    tool: Tool, server: sshd.SshServer, hosted: Path, tmp_path: Path
) -> None:
    tool.extra["GIT_SSH_COMMAND"] = server.configure(key=server.folder / "none")
    key = tmp_path / "key"
    shutil.copy(server.key, key)
    key.chmod(0o600)
    tool.good("schedule", server.url(hosted), "--cron", "@yearly", "--ssh-key-file", str(key))
    key.rename(tmp_path / "elsewhere")
    tool.good("schedule", "run-now", "iris")
    row = rows(tool, 1)[0]
    assert row["state"] == "failed" and f"the ssh key {key} is not there" in row["reason"]
    (tmp_path / "elsewhere").rename(key)
    tool.good("schedule", "run-now", "iris")
    assert rows(tool, 2)[0]["state"] == "succeeded"
