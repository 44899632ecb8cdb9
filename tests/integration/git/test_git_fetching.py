"""What a pod's init container does: fetch one commit with a credential, and leave nothing but the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sshd
from bodywork.targets.kubernetes.manifests.containers import fetched
from planned import plan_of, settings_of

from .conftest import Machine, Repository, WebServer

TOKEN = "tok-3Fq9vWZkT2m8Yx1LrB7d"

Fetch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fetch(machine: Machine, tmp_path: Path) -> Fetch:
    """Runs the container's command as it is asked for, below `tmp_path/work`."""

    def run(repository: str, commit: str, *, folder: str = "", credential: Path | None = None) -> object:
        plan = plan_of()
        container = fetched(plan, settings_of(plan), credential="git" if credential else None)
        wish = json.loads(container.variables["BODYWORK_FETCH"])
        wish |= {"repository": repository, "commit": commit, "folder": folder}
        wish["into"] = str(tmp_path / wish["into"].lstrip("/"))
        wish["credential"] = str(credential) if credential else None
        (tmp_path / "tmp").mkdir(exist_ok=True)
        environment = {**machine.environment, "TMPDIR": str(tmp_path / "tmp")}
        return subprocess.run(
            [sys.executable, *container.command[1:]],
            env={**environment, "BODYWORK_FETCH": json.dumps(wish)},
            capture_output=True,
            text=True,
        )

    return run  # type: ignore[return-value]


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def secret(folder: Path, **files: str | bytes) -> Path:
    """A Secret as it is mounted: files that their group can read."""
    folder.mkdir()
    for name, content in files.items():
        path = folder / name.replace("_", "-", 1) if name.startswith("ssh_") else folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o444)
    return folder


def test_the_project_is_there_and_nothing_else(fetch: Fetch, repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit("second", **{"models/c.txt": "c\n"})
    done = fetch(f"file://{repository.path}", commit)
    assert done.returncode == 0, done.stderr
    assert left(tmp_path / "work") == [
        *("project", "project/a.txt", "project/models", "project/models/b.txt", "project/models/c.txt")
    ]
    assert left(tmp_path / "tmp") == []


def test_a_project_in_a_folder_of_its_repository(
    fetch: Fetch, repository: Repository, tmp_path: Path
) -> None:
    done = fetch(f"file://{repository.path}", repository.git("rev-parse", "HEAD"), folder="models")
    assert done.returncode == 0, done.stderr
    assert left(tmp_path / "work") == ["project", "project/b.txt"]


def test_a_container_that_is_started_again_begins_anew(
    fetch: Fetch, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "work" / "project").mkdir(parents=True)
    (tmp_path / "work" / "project" / "half.txt").write_text("")
    done = fetch(f"file://{repository.path}", repository.git("rev-parse", "HEAD"), folder="models")
    assert done.returncode == 0, done.stderr
    assert left(tmp_path / "work") == ["project", "project/b.txt"]


@pytest.mark.parametrize("names", [("username", "password"), ("USERNAME", "PASSWORD")])
def test_a_token_opens_a_private_repository(
    fetch: Fetch,
    repository: Repository,
    web: WebServer,
    publish: Callable[..., Path],
    tmp_path: Path,
    names: tuple[str, str],
) -> None:
    """Under the names that Kubernetes has for them, and those of `bodywork secret set`."""
    publish(repository)
    web.user, web.password = "me", TOKEN
    commit = repository.git("rev-parse", "HEAD")
    refused = fetch(web.url("project.git"), commit)
    assert refused.returncode == 1
    assert refused.stderr.startswith("bodywork: ")
    values = dict(zip(names, ("me\n", f"{TOKEN}\n"), strict=True))
    credential = secret(tmp_path / "secret", **values)
    done = fetch(web.url("project.git"), commit, credential=credential)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    holding = [p for p in (tmp_path / "work").rglob("*") if p.is_file() and TOKEN in p.read_text()]
    assert not holding


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.SshServer]:
    with sshd.running(tmp_path / "sshd") as made:
        made.trust()
        yield made


@pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there is an sshd")
def test_a_key_opens_a_private_repository_of_a_known_host(
    fetch: Fetch, repository: Repository, server: sshd.SshServer, tmp_path: Path
) -> None:
    commit = repository.git("rev-parse", "HEAD")
    key = server.key.read_bytes()
    known = server.known_hosts.read_bytes()
    credential = secret(tmp_path / "secret", ssh_privatekey=key, known_hosts=known)
    done = fetch(server.url(repository.path), commit, credential=credential)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "project" / "a.txt").exists()
    assert left(tmp_path / "tmp") == []


def test_a_password_for_ssh_is_told(fetch: Fetch, tmp_path: Path) -> None:
    credential = secret(tmp_path / "secret", password=TOKEN)
    done = fetch("git@git.example:team/iris.git", "0" * 40, credential=credential)
    assert done.returncode == 1
    assert "a password opens no repository at git@git.example:team/iris.git" in done.stderr
    assert os.linesep not in done.stderr.strip()
