"""The credential with which pods fetch a project that is too big to be sent, and who does not get it."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

import sshd
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import POD, SECRET, Object
from ground import Ground
from tool import Answer, Tool

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ONE = "stages:\n  one: {run: one.py}\n"
LOOK = """
import os, pathlib
first = pathlib.Path("/proc/1/environ").read_bytes().decode()
places = ("/work", "/credential", "/tmp", "/bodywork")
files = [str(file) for place in places for file in pathlib.Path(place).rglob("*")]
texts = first
for file in files:
    if os.path.isfile(file) and os.access(file, os.R_OK):
        texts += open(file, errors="replace").read(1 << 20)
print("big", os.path.getsize("big.bin"))
print("key", "OPENSSH " + "PRIVATE" in texts, "fetch", "BODYWORK_FETCH" in first,
      "git", [file for file in files if "/.git" in file or "known_hosts" in file])
"""


@pytest.fixture
def tool(trusting: Tool) -> Tool:
    return trusting


def big(ground: Ground, *, size: int = 1_500_000) -> None:
    content = random.Random(1).randbytes(size)
    ground.repository.write({"big.bin": content})
    ground.commit(ONE, {"one.py": LOOK})


def bare(ground: Ground) -> Path:
    """What the server gives out: a bare copy, as a host has it."""
    place = ground.folder / "host" / "iris.git"
    place.parent.mkdir(exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(ground.repository.path), str(place)], check=True)
    return place


def saw_nothing(answer: Answer) -> None:
    assert answer.code == 0, answer
    seen = next(line for line in answer.out.splitlines() if "one | key" in line)
    assert seen.endswith("key False fetch False git []"), seen


def of_stage(ground: Ground) -> Object:
    pods: list[Object] = ground.ask(lambda api: api.list(POD, ground.name, labels={labels.STAGE: "one"}))
    return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def secrets_by_container(pod: Object) -> dict[str, set[str]]:
    """The Secrets that each container of a pod mounts or reads, but for the run's files."""
    volumes = {v["name"]: v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
    found = {}
    for one in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]:
        mounted = {volumes[m["name"]] for m in one["volumeMounts"] if m["name"] in volumes}
        found[one["name"]] = {name for name in mounted if not name.startswith("source-")}
    return found


def names(ground: Ground) -> set[str]:
    return {one["metadata"]["name"] for one in ground.all(SECRET)}


def test_the_key_of_deploy_reaches_the_fetching_container_alone(
    ground: Ground, server: sshd.SshServer, tool: Tool
) -> None:
    big(ground)
    url = server.url(bare(ground))
    answer = tool("deploy", url, "--ssh-key-file", str(server.key), timeout=300)
    saw_nothing(answer)
    mine = f"{ground.name}-git"
    assert secrets_by_container(of_stage(ground)) == {"fetch": {mine}, "stage": set()}
    text = server.key.read_text()
    for part in [line for line in text.splitlines() if "KEY" not in line]:
        assert part not in answer.out + answer.err
    # the same by a command that has no key for pods: it is there already
    server.configure()
    saw_nothing(tool("deploy", url, timeout=300))
    tool.good("delete", ground.name, "--yes")
    ground.gone(lambda: mine in names(ground))


def test_a_small_project_takes_no_credential_along(
    ground: Ground, server: sshd.SshServer, tool: Tool
) -> None:
    ground.commit(ONE, {"one.py": "print('small')\n"})
    answer = tool("deploy", server.url(bare(ground)), "--ssh-key-file", str(server.key), timeout=300)
    assert answer.code == 0, answer
    assert not any(name.endswith("git") for name in names(ground))
    assert secrets_by_container(of_stage(ground)) == {"stage": set()}


def test_a_credential_of_the_namespace(ground: Ground, server: sshd.SshServer, tool: Tool) -> None:
    """A Secret `bodywork-git` that somebody has put there; without one, the sentence of the fetching pod."""
    big(ground)
    url = server.url(bare(ground))
    server.configure()  # this machine may read it, pods have nothing
    answer = tool("deploy", url, timeout=300)
    assert answer.code == 1
    assert "one failed" in answer.out and "they have no key for that" in answer.out, answer
    assert "--ssh-key-file FILE" in answer.out and "a Secret bodywork-git" in answer.out
    data = {"ssh-privatekey": server.key.read_text(), "known_hosts": server.known_hosts.read_text()}
    given = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bodywork-git", "namespace": ground.name},
        "stringData": data,
    }
    ground.ask(lambda api: api.create(given))
    saw_nothing(tool("deploy", url, timeout=300))
    assert secrets_by_container(of_stage(ground)) == {"fetch": {"bodywork-git"}, "stage": set()}
    tool.good("delete", ground.name, "--yes")
    assert "bodywork-git" in names(ground)


def test_keys_and_places_that_pods_could_not_use(ground: Ground, server: sshd.SshServer, tool: Tool) -> None:
    big(ground)
    answer = tool("deploy", str(ground.repository.path), timeout=120)
    assert answer.code in (1, 2)
    assert "a cluster cannot fetch it from" in answer.out + answer.err
    assert "push the commit and deploy the repository's URL" in answer.out + answer.err
