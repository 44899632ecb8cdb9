"""What dies, and what the others do about it: agent, watchdog, replicas, commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bodywork.errors import UnreachableError
from bodywork.process import identity


async def agent_pid(place: Any, *, other_than: int | None = None) -> int:
    async def running() -> int | None:
        status = await place.client.status()
        return status.pid if status is not None and status.pid != other_than else None

    return int(await place.until(running))


async def test_a_killed_agent_is_back_within_two_seconds_and_adopts_what_runs(place: Any) -> None:
    await place.rollout(place.release("run-1", replicas=2))
    service = await place.service()
    before = await place.pids()
    load = asyncio.ensure_future(place.load(service.url, 5.0))
    await asyncio.sleep(1.5)
    pid = (await place.client.status()).pid
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    await agent_pid(place, other_than=pid)
    print(f"the agent answered again after {time.monotonic() - killed:.2f} s")
    requests = await load
    failed = [r for r in requests if r.error]
    last = max((r.answered for r in failed), default=killed)
    print(f"requests failed for {last - killed:.2f} s: {len(failed)} of {len(requests)}")
    assert last - killed < 2.0
    assert all(r.answered >= killed - 0.1 for r in failed)
    assert await place.pids() == before
    after = await place.service()
    assert (after.url, after.ready) == (service.url, 2)
    assert all(replica.restarts == 0 for replica in after.replicas)


async def test_an_agent_killed_again_and_again_comes_back(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = await place.pids()
    pid = None
    for _ in range(4):
        pid = await agent_pid(place, other_than=pid)
        os.kill(pid, signal.SIGKILL)
    await agent_pid(place, other_than=pid)
    assert await place.pids() == before


async def test_a_killed_watchdog_is_replaced_and_does_its_work(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    status = await place.client.status()
    os.kill(status.watchdog, signal.SIGKILL)

    async def another() -> Any:
        now = await place.client.status()
        return now.watchdog != status.watchdog and identity(now.watchdog)

    await place.until(another)
    os.kill(status.pid, signal.SIGKILL)
    await agent_pid(place, other_than=status.pid)


async def test_agent_and_watchdog_killed_together_come_back_with_the_next_command(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = await place.pids()
    status = await place.client.status()
    os.kill(status.watchdog, signal.SIGKILL)
    os.kill(status.pid, signal.SIGKILL)
    await place.client.ensure()
    assert await place.pids() == before


async def test_a_killed_replica_is_started_again_while_the_other_serves(place: Any) -> None:
    await place.rollout(place.release("run-1", replicas=2))
    service = await place.service()
    load = asyncio.ensure_future(place.load(service.url, 4.0))
    await asyncio.sleep(1.5)
    victim = service.replicas[0].pid
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    requests = await load
    failed = [r for r in requests if r.error]
    assert all(r.asked <= killed + 0.05 for r in failed), failed  # in flight when it died
    assert len(failed) <= 4

    async def restarted() -> Any:
        replica = (await place.service()).replicas[0]
        return replica.pid not in (None, victim) and replica.state == "ready" and replica.restarts == 1

    await place.until(restarted)


async def test_the_only_replica_killed_is_back_before_clients_give_up(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    url = (await place.service()).url
    os.kill((await place.pids())[0], signal.SIGKILL)
    assert (await place.get(url)).startswith("run-1 1")


async def test_a_replica_that_keeps_dying_is_started_less_and_less(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    url = (await place.service()).url

    async def tired() -> Any:
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(place.get(url, "/crash"), 3)
        return (await place.service()).replicas[0].restarts >= 3

    await place.until(tired)

    async def reason() -> Any:
        return (
            "it exited with 9, and is started again after" in (await place.service()).reason
            or (await place.service()).ready
        )

    await place.until(reason)


async def test_a_command_killed_in_a_rollout_undoes_it(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = set(place.processes())
    definition = place.release("run-2", variables={"MODE": "sleep"})
    path = place.home / "definition.json"
    path.write_text(definition.encode())
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from bodywork.targets.local.client import AgentClient\n"
        "from bodywork.targets.local.definition import Definition\n"
        "async def main():\n"
        "    home = Path(sys.argv[1])\n"
        "    definition = Definition.decode((home / 'definition.json').read_text())\n"
        "    async for sign in AgentClient(home).rollout(definition): print(sign, flush=True)\n"
        "asyncio.run(main())"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(place.home), stdout=asyncio.subprocess.PIPE
    )
    await child.stdout.readline()
    child.kill()
    await child.wait()
    await place.until(lambda: set(place.processes()) == before)
    assert (await place.get((await place.service()).url)).startswith("run-1 ")


async def test_an_agent_killed_in_a_rollout_leaves_the_old_release_and_no_new_one(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = await place.pids()
    rollout = asyncio.ensure_future(place.signs(place.release("run-2", variables={"MODE": "sleep"})))
    await place.until(lambda: list((place.home / "services/iris/serve/run-2").glob("*.log")))
    pid = (await place.client.status()).pid
    rollout.cancel()
    os.kill(pid, signal.SIGKILL)
    await agent_pid(place, other_than=pid)
    await place.until(lambda: len(place.processes()) == 3)  # agent, watchdog, old replica
    assert await place.pids() == before


async def test_a_rollout_survives_the_death_of_the_agent(place: Any) -> None:
    rollout = asyncio.ensure_future(place.rollout(place.release("run-1", variables={"MODE": "sleep"})))
    await place.until(lambda: list((place.home / "services/iris/serve/run-1").glob("*.log")))
    pid = (await place.client.status()).pid
    os.kill(pid, signal.SIGKILL)
    await agent_pid(place, other_than=pid)

    async def given_up() -> bool:
        await place.client.abort("iris", "serve", "run-1", reason="enough")
        return rollout.done()

    await place.until(given_up)  # the next agent was asked for it as well
    assert (await rollout).reason.startswith("enough")


async def test_stop_ends_everything_and_start_brings_it_back(place: Any) -> None:
    await place.rollout(place.release("run-1", replicas=2))
    url = (await place.service()).url
    await place.client.stop()
    assert place.processes() == []
    assert await place.client.status() is None
    assert await place.client.services() == []
    await place.client.stop()
    await place.client.ensure()
    assert (await place.get(url)).startswith("run-1 ")
    await place.until(lambda: len(place.processes()) == 4)


async def test_term_of_the_agent_is_stop(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    os.kill((await place.client.status()).pid, signal.SIGTERM)
    await place.until(lambda: not place.processes())


async def test_remove_ends_a_service_for_good(place: Any) -> None:
    await place.rollout(place.definition)
    await place.rollout(replace(place.definition, stage="score", host_names=("score",)))
    await place.client.remove("iris", ["serve", "nothing"])
    assert [s.definition.stage for s in await place.client.services()] == ["score"]
    assert "score" in place.client.hosts_file("iris").read_text()
    await place.client.remove("iris", ["serve"])
    await place.client.remove("iris", ["score"])
    assert await place.client.services() == []
    assert not place.client.hosts_file("iris").exists()
    await place.client.stop()
    await place.client.remove("iris", ["serve"])
    assert await place.client.status() is None  # nothing to remove: no agent needed


async def test_remove_of_what_a_stopped_agent_kept(place: Any) -> None:
    await place.rollout(place.definition)
    await place.client.stop()
    await place.client.remove("iris", ["serve"])
    assert not list((place.home / "store").glob("*.json"))


async def test_remove_lets_a_request_finish(place: Any) -> None:
    await place.rollout(place.definition)
    url = (await place.service()).url
    slow = asyncio.ensure_future(place.get(url, "/slow/2"))
    await asyncio.sleep(0.5)
    await place.client.remove("iris", ["serve"])
    assert (await slow).startswith("run-1 ")


async def test_twenty_commands_at_once_start_one_agent(place: Any) -> None:
    await asyncio.gather(*(place.client.ensure() for _ in range(20)))
    await asyncio.sleep(0.5)
    assert len(place.processes()) == 2


async def test_twenty_rollouts_at_once(place: Any) -> None:
    definitions = [
        replace(place.definition, pipeline=f"p{number}", host_names=("serve",)) for number in range(20)
    ]
    ended = await asyncio.gather(*(place.rollout(definition) for definition in definitions))
    assert all(end.ok for end in ended)
    status = await place.client.status()
    assert status.services == 20
    print(f"agent {status.memory / 2**20:.1f} MiB, watchdog {status.watchdog_memory / 2**20:.1f} MiB")
    for service in await place.client.services():
        assert (await place.get(service.url)).startswith("run-1 ")


async def test_an_agent_with_nothing_to_do_leaves(place: Any) -> None:
    place.pace(leave=0.3, tick=0.1)
    await place.client.ensure()
    await place.until(lambda: not place.processes())
    await place.client.ensure()
    assert await place.client.status() is not None


async def test_an_agent_whose_home_is_removed_leaves_with_its_services(place: Any) -> None:
    place.pace(tick=0.1)
    await place.rollout(place.definition)
    place.home.rename(place.home.with_name("trash"))
    await place.until(lambda: not place.processes())


async def test_a_home_with_a_long_path(place: Any) -> None:
    place.home = place.home / ("x" * 120)
    place.client._home = place.home
    await place.rollout(place.definition)
    assert (await place.service()).ready == 1


async def test_children_in_sessions_of_their_own_live_and_end_with_their_replica(place: Any) -> None:
    await place.rollout(place.release("run-1", variables={"MODE": "children"}))
    await place.until(lambda: len(place.processes()) == 5)
    before = set(place.processes())
    pid = (await place.client.status()).pid
    os.kill(pid, signal.SIGKILL)
    await agent_pid(place, other_than=pid)
    await asyncio.sleep(0.5)
    assert before - {pid} <= set(place.processes())
    await place.client.remove("iris", ["serve"])
    await place.until(lambda: len(place.processes()) <= 2)


async def test_what_a_crashed_replica_leaves_behind_is_ended(place: Any) -> None:
    await place.rollout(place.release("run-1", variables={"MODE": "children"}))
    await place.until(lambda: len(place.processes()) == 5)
    before = set(place.processes())
    status = await place.client.status()
    with contextlib.suppress(Exception):
        await place.get((await place.service()).url, "/crash")
    stay = {status.pid, status.watchdog}

    def anew() -> bool:
        now = set(place.processes())
        return len(now) == 5 and now & before == stay

    await place.until(anew)


async def test_a_replica_whose_health_fails_gets_no_request_until_it_is_well(place: Any) -> None:
    place.pace(probe_well=0.1, probe_later=0.1)
    await place.rollout(place.release("run-1", replicas=2, health="/health"))
    url = (await place.service()).url
    sick = (await place.get(url, "/sick")).split()[1]

    async def ready(number: int) -> Any:
        return (await place.service()).ready == number

    await place.until(lambda: ready(1))
    service = await place.service()
    assert service.state == "degraded"
    assert service.reason == f"replica {sick}: GET /health answered 503"
    assert {(await place.get(url)).split()[1] for _ in range(6)} == {str(3 - int(sick))}
    folder = next(place.home.glob(f"services/iris/serve/run-1/files-*-{sick}"))
    (folder / "sick").unlink()
    await place.until(lambda: ready(2))
    assert {(await place.get(url)).split()[1] for _ in range(6)} == {"1", "2"}
    assert all(replica.restarts == 0 for replica in (await place.service()).replicas)


async def test_an_agent_of_another_version_says_so(place: Any) -> None:
    await place.client.ensure()
    reader, writer = await asyncio.open_unix_connection(place.home / "agent" / "agent.sock")
    writer.write(b'{"version": "0.0.1", "ask": "services"}\n')
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    assert answer["error"].endswith("this command of 0.0.1")
    assert "bodywork agent stop" in answer["hint"]


async def test_nonsense_is_answered_in_words(place: Any) -> None:
    await place.client.ensure()
    for nonsense in (b"hello\n", b'{"ask": "dance"}\n', b'{"ask": "rollout", "definition": {}}\n', b"\n"):
        reader, writer = await asyncio.open_unix_connection(place.home / "agent" / "agent.sock")
        writer.write(nonsense)
        assert "error" in json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
    assert await place.client.status() is not None


async def test_the_socket_and_its_folder_are_of_this_user_alone(place: Any) -> None:
    await place.client.ensure()
    folder = place.home / "agent"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "agent.sock").stat().st_mode & 0o777 == 0o600


async def test_secrets_are_given_and_not_stored(place: Any) -> None:
    secret = place.home / "secrets" / "KEY"
    secret.parent.mkdir(parents=True)
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    await place.rollout(place.release("run-1", secrets=(("KEY", str(secret)),)))
    [pid] = await place.pids()
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"KEY=hunter2" in environment
    assert b"BODYWORK_REPLICA=1" in environment
    written = [path.read_text() for path in place.home.rglob("*.json")]
    assert written and not any("hunter2" in text for text in written)


async def test_an_agent_that_cannot_start_gives_its_last_words(place: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("bodywork.targets.local.client.START", 1.0)
    place.client._command = (sys.executable, "-c", "print('no room here')")
    with pytest.raises(UnreachableError, match="did not start within 1 s; its last words:\nno room here"):
        await place.client.ensure()
