"""A rollout from the first release on: what the caller is told, and what answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from typing import Any

from bodywork.targets.base import Began, Ended, Printed


def printed(signs: list[Any]) -> str:
    return "".join(sign.text for sign in signs if isinstance(sign, Printed))


async def test_a_service_is_rolled_out_and_answers(place: Any) -> None:
    signs = await place.signs(place.release("run-1", replicas=2))
    assert isinstance(signs[0], Began)
    assert signs[-1] == Ended(ok=True)
    service = await place.service()
    assert (service.state, service.ready) == ("ready", 2)
    answers = {(await place.get(service.url)).split()[1] for _ in range(10)}
    assert answers == {"1", "2"}
    assert place.client.hosts_file("iris").read_text() == "".join(
        f"{name} {service.url[7:].partition(':')[0]}\n" for name in ("iris--serve", "serve")
    )


async def test_a_second_release_replaces_the_first_whose_processes_end(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    [first] = await place.pids()
    assert (await place.rollout(place.release("run-2"))).ok
    service = await place.service()
    assert (await place.get(service.url)).startswith("run-2 ")
    assert service.definition.release == "run-2"
    await place.until(lambda: first not in place.processes())
    folder = place.home / "services" / "iris" / "serve"
    await place.until(lambda: not list((folder / "run-1").glob("files-*")))
    assert "server in mode serve" in (folder / "run-1" / "replica-1.log").read_text()


async def test_the_same_release_again_is_done_at_once(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = await place.pids()
    assert await place.signs(place.release("run-1")) == [Ended(ok=True)]
    assert await place.pids() == before


async def test_a_release_that_dies_fails_at_once_and_the_old_one_goes_on(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = await place.pids()
    signs = await place.signs(place.release("run-2", variables={"MODE": "die"}))
    assert signs[-1] == Ended(ok=False, reason="replica 1 exited with 3 before it was ready")
    assert "no model here" in printed(signs)
    assert await place.pids() == before
    assert (await place.get((await place.service()).url)).startswith("run-1 ")


async def test_a_first_release_that_dies_leaves_nothing(place: Any) -> None:
    assert not (await place.rollout(place.release("run-1", variables={"MODE": "die"}))).ok
    assert await place.client.services() == []
    assert not place.client.hosts_file("iris").exists()
    assert not list((place.home / "store").glob("*.json"))


async def test_a_command_that_does_not_exist_is_a_reason(place: Any) -> None:
    ended = await place.rollout(place.release("run-1", command=("/no/such/python", "x")))
    assert not ended.ok
    assert "replica 1 could not be started" in ended.reason
    assert "/no/such/python" in ended.reason


async def test_a_secret_that_is_not_there_is_a_reason(place: Any) -> None:
    ended = await place.rollout(place.release("run-1", secrets=(("KEY", "/no/such/secret"),)))
    assert "the secret of variable KEY cannot be read" in ended.reason


async def give_up(place: Any, definition: Any, *, when: str) -> tuple[str, Ended]:
    """Abort a rollout as soon as `when` is its reason; returns what abort says and how it ended."""
    rollout = asyncio.ensure_future(place.rollout(definition))
    await place.until(lambda: list(place.home.glob("services/*/*/*/replica-1.log")))
    await asyncio.sleep(2.0)  # what a caller's own time limit would be
    said = await place.client.abort("iris", "serve", definition.release, reason="not ready within 2 s")
    ended = await rollout
    assert when in said
    return said, ended


async def test_abort_says_that_nothing_listens(place: Any) -> None:
    said, ended = await give_up(
        place, place.release("run-1", variables={"MODE": "sleep"}), when="it listens on no port"
    )
    assert ended == Ended(ok=False, reason=f"not ready within 2 s: {said}")
    assert await place.client.services() == []


async def test_abort_says_what_the_health_path_answered(place: Any) -> None:
    await give_up(
        place,
        place.release("run-1", health="/health", variables={"MODE": "sick"}),
        when="GET /health answered 503",
    )


async def test_abort_says_where_it_listens_instead(place: Any) -> None:
    port = free_port()
    variables = {"MODE": "elsewhere", "ELSEWHERE": str(port)}
    await give_up(
        place,
        place.release("run-1", variables=variables),
        when=f"it listens on 127.0.0.1:{port} instead of the declared 23500",
    )


async def test_a_replica_at_the_declared_port_is_found(place: Any) -> None:
    port = free_port()
    variables = {"MODE": "elsewhere", "ELSEWHERE": str(port)}
    assert (await place.rollout(place.release("run-1", port=port, variables=variables))).ok
    service = await place.service()
    assert service.replicas[0].address == f"127.0.0.1:{port}"
    assert (await place.get(service.url)).startswith("run-1 1")


async def test_a_lone_replica_at_another_port_is_found_after_a_while(place: Any) -> None:
    place.pace(look=0.2, elsewhere=0.5)
    port = free_port()
    variables = {"MODE": "elsewhere", "ELSEWHERE": str(port)}
    assert (await place.rollout(place.release("run-1", variables=variables))).ok
    assert (await place.get((await place.service()).url)).startswith("run-1 1")


async def test_two_replicas_at_one_port_fail_with_what_they_said(place: Any) -> None:
    place.pace(look=0.2, elsewhere=0.5)
    variables = {"MODE": "elsewhere", "ELSEWHERE": str(free_port())}
    signs = await place.signs(place.release("run-1", replicas=2, variables=variables))
    assert "exited with 1 before it was ready" in signs[-1].reason
    assert "Address already in use" in printed(signs)


async def test_a_health_path_that_answers_is_ready(place: Any) -> None:
    assert (await place.rollout(place.release("run-1", health="/health"))).ok


async def test_a_port_that_is_taken_names_who_has_it(place: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = await place.rollout(place.release("run-1", port=port))
    assert not ended.ok
    assert f"cannot listen at port {port}" in ended.reason
    assert f"listens at 0.0.0.0:{port}" in ended.reason
    assert "give the service another port" in ended.reason


async def test_two_rollouts_of_one_service_at_once(place: Any) -> None:
    first = asyncio.ensure_future(place.signs(place.release("run-1", variables={"MODE": "sleep"})))
    await place.until(lambda: list((place.home / "store").glob("*.json")))
    second = await place.rollout(place.release("run-2"))
    assert second == Ended(
        ok=False, reason="another rollout of service serve of iris is in progress (run run-1)"
    )
    await place.client.abort("iris", "serve", "run-1")
    assert not (await first)[-1].ok


async def test_leaving_a_rollout_undoes_it(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = await place.pids()
    async with contextlib.aclosing(
        place.client.rollout(place.release("run-2", variables={"MODE": "sleep"}))
    ) as signs:
        async for sign in signs:
            if isinstance(sign, Began):
                break
    await place.until(lambda: len([p for p in place.processes() if p not in before]) == 2)  # agent, watchdog
    assert await place.pids() == before
    assert (await place.rollout(place.release("run-3"))).ok


async def test_a_store_that_fails_at_the_switch_leaves_the_old_release(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    before = await place.pids()
    store, aside = place.home / "store", place.home / "aside"
    store.rename(aside)
    store.write_text("not a folder")
    ended = await place.rollout(place.release("run-2"))
    store.unlink()
    aside.rename(store)
    assert not ended.ok
    assert ended.reason.startswith("the switch could not be stored: ")
    assert await place.pids() == before
    assert (await place.get((await place.service()).url)).startswith("run-1 ")
    assert (await place.rollout(place.release("run-3"))).ok


async def test_a_new_port_moves_the_service(place: Any) -> None:
    await place.rollout(place.release("run-1"))
    old = (await place.service()).url
    assert (await place.rollout(place.release("run-2", port=23501))).ok
    new = (await place.service()).url
    assert new == old.replace(":23500", ":23501")
    assert (await place.get(new)).startswith("run-2 ")


async def test_services_with_one_port_live_side_by_side(place: Any) -> None:
    other = replace(place.definition, stage="score", host_names=("score",))
    assert (await place.rollout(place.definition)).ok
    assert (await place.rollout(other)).ok
    one, two = (await place.service("serve")).url, (await place.service("score")).url
    assert one != two
    assert one.endswith(":23500") and two.endswith(":23500")
    assert len(place.client.hosts_file("iris").read_text().splitlines()) == 3


async def test_where_only_one_loopback_address_is_up_the_hosts_file_has_the_port(
    place: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("BODYWORK_LOOPBACK", "single")
    other = replace(place.definition, stage="score", host_names=("score",))
    assert (await place.rollout(place.definition)).ok
    assert (await place.rollout(other)).ok
    for stage in ("serve", "score"):
        assert (await place.get((await place.service(stage)).url)).startswith("run-1 ")
    lines = place.client.hosts_file("iris").read_text().splitlines()
    assert any(line.startswith("score 127.0.0.1 23500:") for line in lines)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
