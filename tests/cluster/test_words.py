"""What a user reads when a stage cannot run, or does not end well: in a pipe, with its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bodywork.targets.kubernetes.kinds import RESOURCE_QUOTA, SECRET
from ground import Ground, Running
from tool import Answer

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ONE = "stages:\n  one: {{run: one.py{more}}}\n"


def one(ground: Ground, code: str = "print('hello')\n", more: str = "") -> None:
    """A project of one stage."""
    ground.commit(ONE.format(more=f", {more}" if more else ""), {"one.py": code})


def read(answer: Answer, *said: str) -> None:
    """The sentences are there, and nothing that only its makers understand."""
    text = answer.out + answer.err
    for sentence in said:
        assert sentence in text, text
    plain(text)


def plain(text: str) -> None:
    for word in ("Traceback", "object at 0x", "httpx", "Error(", "a bug in bodywork"):
        assert word not in text, text


def status(ground: Ground) -> tuple[str, str]:
    """State and reason of the stage `one`, for programs."""
    found = ground.status()["stages"][0]
    return found["state"], found["reason"]


@pytest.fixture
def started(ground: Ground) -> Iterator[list[Running]]:
    commands: list[Running] = []
    yield commands
    for command in commands:
        command.kill() if command.child.poll() is None else None


def test_what_no_node_has_room_for_waits_and_says_why(ground: Ground, started: list[Running]) -> None:
    one(ground, more="resources: {cpu: 900}")
    started.append(command := ground.start())
    why = "cpu free; it asks for 900 (resources.cpu)"
    command.says(f"{why}")
    assert "one waits: no node can take it: " in command.text
    assert command.child.poll() is None
    state, reason = status(ground)
    assert (state, why in reason) == ("pending", True)
    read(ground.tool.good("status", ground.name), why)
    read(ground.tool.good("stop", ground.name), "is cancelled")
    assert command.end() == 130
    plain(command.text)
    assert ground.pods("one") == [] or all("deletionTimestamp" in p["metadata"] for p in ground.pods("one"))


def test_an_image_that_is_not_there(ground: Ground) -> None:
    one(ground, more="image: localhost/bodywork-no-such:1, batch: {retries: 0}")
    answer = ground.deploy()
    assert answer.code == 1
    why = "image localhost/bodywork-no-such:1 cannot be pulled: its registry does not answer"
    read(answer, f"one waits: {why}", f"one failed: {why}", "image: of the stage")
    assert status(ground)[0] == "failed" and why in status(ground)[1]


def test_a_python_without_an_image_says_which_one_to_build(ground: Ground, started: list[Running]) -> None:
    one(ground, more='python: "3.10"')
    started.append(command := ground.start("--image", "localhost/bodywork-none:dev-python{python}"))
    command.says("one waits: image localhost/bodywork-none:dev-python3.10 cannot be pulled")
    command.says("scripts/image localhost/bodywork-none:dev-python3.10 --python 3.10")
    ground.tool.good("stop", ground.name)
    assert command.end() == 130


def test_out_of_memory_names_the_limit(ground: Ground) -> None:
    one(ground, "x = bytearray(500_000_000)\nprint(len(x))\n", "resources: {memory: 96Mi}")
    answer = ground.deploy()
    assert answer.code == 1
    read(answer, "one failed", "ran out of memory: its limit is 96Mi; raise it (resources.memory)")
    assert "its limit is 96Mi" in status(ground)[1]


@pytest.mark.parametrize(
    ("code", "more", "why"),
    [
        ("raise SystemExit(3)\n", "", "exited with 3"),
        ("import os\nos.kill(os.getpid(), 11)\n", "", "was killed by SIGSEGV"),
        ("pass\n", "outputs: {model: model.joblib}", "model"),
    ],
)
def test_how_a_stage_ends_badly(ground: Ground, code: str, more: str, why: str) -> None:
    one(ground, code, more)
    answer = ground.deploy()
    assert answer.code == 1
    read(answer, "one failed", why)
    assert why in status(ground)[1]
    found = ground.deploy("--output", "json")
    assert found.code == 1 and found.json["state"] == "failed"
    assert why in found.json["stages"][0]["reason"]


def test_a_stage_that_ignores_term_is_killed(ground: Ground) -> None:
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\n"
    one(ground, f"{deaf}time.sleep(600)\n", "batch: {timeout: 2s}")
    answer = ground.deploy()
    assert answer.code == 1
    read(answer, "one | up", "one failed", "did not end within 2s (batch.timeout)")


def test_a_quota_that_leaves_no_room(ground: Ground) -> None:
    one(ground)
    quota(ground, {"requests.cpu": "10m"})
    answer = ground.deploy()
    assert answer.code == 1
    read(answer, "one failed: quota tight of its namespace is exceeded: it asks for", "have the quota raised")


def test_a_quota_that_wants_limits(ground: Ground) -> None:
    one(ground)
    quota(ground, {"limits.memory": "16Gi"})
    answer = ground.deploy()
    assert answer.code == 1
    read(
        answer, "quota tight of its namespace wants each pod to say limits.memory; say it", "resources.memory"
    )
    one(ground, more="resources: {memory: 128Mi}")
    read(ground.deploy(), "one succeeded")


def quota(ground: Ground, hard: dict[str, str]) -> None:
    metadata = {"name": "tight", "namespace": ground.name}
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": RESOURCE_QUOTA.kind,
        "metadata": metadata,
        "spec": {"hard": hard},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ground.name}}

    async def make(api: Any) -> None:
        await api.apply(namespace)
        await api.create(made)

    ground.ask(make)


def test_secrets_that_are_missing_are_found_by_plan(ground: Ground) -> None:
    one(ground, "import os\nprint(len(os.environ['KEY']))\n", "secrets: {KEY: cloud, OTHER: cloud}")
    here = str(ground.repository.path)
    there = f"--target kubernetes --namespace {ground.name}"
    for command in ("plan", "deploy"):
        answer = ground.tool(command, here)
        assert answer.code == 2
        read(
            answer,
            f"not in namespace {ground.name}: cloud/KEY (for one), cloud/OTHER (for one)",
            f"bodywork secret set cloud KEY {there}; bodywork secret set cloud OTHER {there}",
        )
    words = ["secret", "set", "cloud", "KEY", "--namespace", ground.name]
    assert ground.tool.told(*words, text="hunter2hunter2\n").code == 0
    answer = ground.tool("plan", here)
    assert answer.code == 2
    read(answer, "cloud/OTHER (for one): it has only KEY")
    assert "cloud/KEY" not in answer.err
    words[3] = "OTHER"
    assert ground.tool.told(*words, text="swordfish99\n").code == 0
    read(ground.deploy(), "one | 14", "one succeeded")


def test_a_secret_that_goes_away_after_the_plan(ground: Ground) -> None:
    first = "  first: {run: first.py}\n  one: {run: one.py, secrets: {KEY: cloud}, batch: {retries: 0}}\n"
    code = {"first.py": "import time\nprint('ready', flush=True)\ntime.sleep(8)\n", "one.py": "pass\n"}
    ground.commit(f"workflow: first >> one\nstages:\n{first}", code)
    words = ["secret", "set", "cloud", "KEY", "--namespace", ground.name]
    assert ground.tool.told(*words, text="hunter2hunter2\n").code == 0
    command = ground.start()
    command.says("first | ready")
    ground.ask(lambda api: api.delete(SECRET, "cloud", ground.name))
    assert command.end() == 1
    assert "one failed: there is no secret cloud" in command.text
    assert f"bodywork secret set cloud KEY --target kubernetes --namespace {ground.name}" in command.text
    plain(command.text)


def test_output_that_is_no_text_and_lines_without_an_end(ground: Ground) -> None:
    code = (
        "import sys\nout = sys.stdout.buffer\n"
        "out.write(bytes(range(256)) * 20 + b'\\n')\n"
        "out.write(b'x' * 10_000_000 + b'\\n')\nout.write(b'the end')\n"
    )
    one(ground, code)
    answer = ground.deploy()
    assert answer.code == 0
    assert answer.out.count("x") > 9_999_000
    assert "one | the end" in answer.out
    logs = ground.tool.good("logs", ground.name)
    assert "the end" in logs.out


def test_a_hundred_megabytes_of_output_do_not_fill_our_memory(ground: Ground) -> None:
    code = (
        "import sys\nout = sys.stdout.buffer\n"
        "for _ in range(100):\n    out.write(b'x' * (1 << 20) + b'\\n')\nprint('the end')\n"
    )
    one(ground, code)
    shown = ground.folder / "shown"
    with shown.open("wb") as file:
        command = [sys.executable, "-m", "bodywork", "deploy", str(ground.repository.path)]
        child = subprocess.Popen(command, env=ground.tool.env, stdout=file, stderr=subprocess.STDOUT)
        _, code_, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(code_)
    assert child.returncode == 0
    assert usage.ru_maxrss < 300 * 1024  # KiB
    with shown.open("rb") as file:
        file.seek(-4096, os.SEEK_END)
        assert b"one | the end" in file.read()


@pytest.mark.network
def test_an_index_that_the_pod_cannot_reach(ground: Ground) -> None:
    more = "requirements: [six==1.17.0], env: {UV_DEFAULT_INDEX: 'http://127.0.0.1:1/simple'}"
    one(ground, more=f"{more}, batch: {{retries: 0}}")
    answer = ground.deploy(timeout=400)
    assert answer.code == 1
    read(answer, "one failed", "the package index cannot be reached from the pod", "127.0.0.1:1")
    assert "the package index cannot be reached from the pod" in status(ground)[1]
