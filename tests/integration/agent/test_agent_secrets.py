"""Logs of replicas with secrets: filtered by a process that outlives the agent and loses nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from bodywork.process import identity

CHATTY = """
import os, sys, time, pathlib
print("starts with", os.environ["KEY"], flush=True)
for number in range(int(os.environ.get("LINES", "0"))):
    print(number, "says", os.environ["KEY"])
exec(pathlib.Path("server.py").read_text())
"""


def secret(place: Any, value: str = "hunter2") -> tuple[tuple[str, str], ...]:
    path = place.home / "secrets" / "KEY"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    path.chmod(0o600)
    return (("KEY", str(path)),)


def chatty(place: Any, run: str = "run-1", **changes: Any) -> Any:
    (Path(place.definition.folder) / "chatty.py").write_text(CHATTY)
    command = (place.definition.command[0], "chatty.py")
    return place.release(run, command=command, secrets=secret(place), **changes)


def filters() -> dict[int, int]:
    """Filters by the process that started them."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"log_filter.py" in (entry / "cmdline").read_bytes():
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                found[int(entry.name)] = int(stat[1])
        except OSError:
            continue
    return found


async def filter_of(place: Any) -> int:
    agent = (await place.client.status()).pid
    (mine,) = [pid for pid, parent in filters().items() if parent == agent]
    return mine


def log_of(place: Any, run: str = "run-1") -> Path:
    path: Path = place.home / "services" / "iris" / "serve" / run / "replica-1.log"
    return path


async def test_a_replica_without_secrets_has_no_filter(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    agent = (await place.client.status()).pid
    assert agent not in filters().values()


async def test_signs_and_log_have_no_value_and_all_lines(place: Any) -> None:
    signs = await place.signs(chatty(place, variables={"LINES": "20000", "PYTHONUNBUFFERED": ""}))
    printed = "".join(sign.text for sign in signs if hasattr(sign, "text"))
    assert signs[-1].ok
    assert "starts with ***" in printed and "hunter2" not in printed
    await place.until(lambda: "server in mode" in log_of(place).read_text())
    lines = log_of(place).read_text().splitlines()
    assert lines[1:20001] == [f"{number} says ***" for number in range(20000)]


async def test_last_words_are_a_part_of_the_rollout(place: Any) -> None:
    signs = await place.signs(chatty(place, variables={"MODE": "die"}))
    printed = "".join(sign.text for sign in signs if hasattr(sign, "text"))
    assert not signs[-1].ok
    assert printed.endswith("starts with ***\nserver in mode die\nno model here\n")


async def test_the_filter_outlives_the_agent_and_ends_with_the_replica(place: Any) -> None:
    await place.rollout(chatty(place))
    sieve = identity(await filter_of(place))
    assert sieve is not None
    agent = (await place.client.status()).pid
    os.kill(agent, signal.SIGKILL)

    async def again() -> bool:
        status = await place.client.status()
        return status is not None and status.pid != agent

    await place.until(again)
    pid = int(sieve.partition(":")[0])
    assert identity(pid) == sieve
    await place.client.remove("iris", frozenset({"serve"}))
    await place.until(lambda: identity(pid) != sieve)


async def test_a_replica_whose_filter_is_killed_starts_again(place: Any) -> None:
    await place.rollout(chatty(place))
    (before,) = await place.pids()
    first = await filter_of(place)
    os.kill(first, signal.SIGKILL)

    async def restarted() -> bool:
        pids = await place.pids()
        return bool(pids) and pids[0] != before and (await place.service()).ready == 1

    await place.until(restarted)
    await place.until(lambda: log_of(place).read_text().count("starts with ***") == 2)
    assert await filter_of(place) != first


async def test_signals_to_the_replicas_group_leave_the_filter_its_last_lines(place: Any) -> None:
    await place.rollout(chatty(place))
    sieve = await filter_of(place)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(sieve, number)
    (pid,) = await place.pids()
    os.killpg(pid, signal.SIGKILL)
    await place.until(lambda: log_of(place).read_text().count("starts with ***") == 2)


async def test_logs_are_rotated_under_the_filter(place: Any) -> None:
    place.pace(tick=0.1, log_size=2000)
    await place.rollout(chatty(place, variables={"LINES": "200", "PYTHONUNBUFFERED": ""}))
    older = log_of(place).with_name("replica-1.log.1")
    await place.until(older.exists)
    os.kill((await place.pids())[0], signal.SIGKILL)
    await place.until(lambda: "starts with ***" in log_of(place).read_text() + older.read_text())
    kept = "".join(path.read_text() for path in log_of(place).parent.glob("replica-1.log*"))
    assert "\0" not in kept and "hunter2" not in kept


async def test_a_secret_that_others_can_read_is_a_reason(place: Any) -> None:
    definition = chatty(place)
    Path(definition.secrets[0][1]).chmod(0o644)
    ended = await place.rollout(definition)
    assert not ended.ok
    assert "others can open" in ended.reason and "chmod 600" in ended.reason
