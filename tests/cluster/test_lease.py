"""One run of a pipeline at a time in a real cluster, however its holder ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from bodywork.errors import BusyError
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import LEASE, POD
from bodywork.targets.kubernetes.lease.holder import Identity
from bodywork.targets.kubernetes.lease.lease import PipelineLease

pytestmark = pytest.mark.cluster

PROGRAM = Path(__file__).with_name("lease_holder.py")
IMAGE = os.environ.get("BODYWORK_TEST_IMAGE", "localhost/debian-python:3.11")
ELSEWHERE = Identity(who="process 7 on host-b", machine="another machine", process="7:7")


class Command:
    """Another command, that says what happens to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 60)).decode().strip()


Start = Callable[..., Awaitable[Command]]


@pytest.fixture
async def start(kubeconfig: Path, namespace: str) -> AsyncIterator[Start]:
    """Starts another command that holds the lease; `machine`: where it says that it is."""
    started: list[Command] = []

    async def begin(run: str, machine: str = "") -> Command:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            namespace,
            run,
            machine,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        )
        started.append(Command(process))
        return started[-1]

    yield begin
    for command in started:
        if command.process.returncode is None:
            command.process.kill()
        await command.process.wait()


def never() -> None:
    raise AssertionError("nobody asked for it")


def a_lease(api: Api, namespace: str, identity: Identity | None = None, **more: object) -> PipelineLease:
    who = identity or Identity.of_this_process()
    return PipelineLease(api, namespace=namespace, pipeline="iris", object_name="iris", identity=who, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def timed(least: float, most: float) -> AsyncIterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    print(f"took {took:.1f} s")
    assert least <= took <= most


async def test_a_second_run_is_refused_by_name_until_the_first_has_ended(api: Api, namespace: str) -> None:
    first, second = a_lease(api, namespace), a_lease(api, namespace)
    assert await first.holder() is None
    async with first.hold("run-1", on_cancel=never):
        held = await second.holder()
        assert held is not None
        assert (held.run, held.who) == ("run-1", Identity.of_this_process().who)
        with pytest.raises(BusyError, match=rf"iris is busy: run run-1 \(process {os.getpid()} on ") as error:
            async with second.hold("run-2", on_cancel=never):
                pass
        assert "bodywork stop iris" in (error.value.hint or "")
    async with timed(0, 2), second.hold("run-2", on_cancel=never):
        pass
    assert await first.holder() is None
    await first.remove()
    assert await api.get(LEASE, "run-lock-iris", namespace) is None


async def test_of_many_that_want_it_at_once_one_has_it_at_a_time(api: Api, namespace: str) -> None:
    inside, most = 0, 0

    async def once(number: int) -> None:
        nonlocal inside, most
        async with a_lease(api, namespace).hold(f"run-{number}", wait=True, on_cancel=never):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.05)
            inside -= 1

    await asyncio.gather(*(once(number) for number in range(6)))
    assert most == 1


async def test_the_lease_of_a_killed_process_is_free_at_once(api: Api, namespace: str, start: Start) -> None:
    command = await start("run-1")
    assert await command.says() == "held"
    lease = a_lease(api, namespace)
    held = await lease.holder()
    assert held is not None
    assert held.who.startswith(f"process {command.process.pid} on ")
    command.process.kill()
    await command.process.wait()
    async with timed(0, 2):
        assert await lease.holder() is None
        async with lease.hold("run-2", on_cancel=never):
            held = await lease.holder()
            assert held is not None
            assert held.run == "run-2"


async def test_a_command_is_asked_to_stop(api: Api, namespace: str, start: Start) -> None:
    command = await start("run-1")
    assert await command.says() == "held"
    lease = a_lease(api, namespace)
    async with timed(0, 15):
        await lease.ask_to_stop()
        assert await command.says() == "asked"
        await command.process.wait()
    assert await lease.holder() is None
    await lease.ask_to_stop()  # there is none: nothing happens, now or to the next one
    async with lease.hold("run-2", on_cancel=never):
        await asyncio.sleep(3)


async def test_a_process_of_another_machine_is_busy_while_it_renews_and_waited_for_when_silent(
    api: Api, namespace: str, start: Start
) -> None:
    command = await start("run-1", "another machine")
    assert await command.says() == "held"
    notes: list[str] = []
    lease = a_lease(api, namespace, note=notes.append)
    async with timed(0, 1):
        held = await lease.holder()
    assert held is not None
    async with timed(0, 15):
        with pytest.raises(BusyError, match="run run-1"):
            async with lease.hold("run-2", on_cancel=never):
                pass
    command.process.send_signal(signal.SIGSTOP)
    async with timed(28, 75), lease.hold("run-2", on_cancel=never):
        note = notes[-1]
        assert "run run-1 of iris was in progress (process" in note
        assert "after 30 seconds of silence" in note
        # It wakes up, and must notice before it does any more.
        command.process.send_signal(signal.SIGCONT)
        assert await command.says() == "lost"
        assert "run run-1 is not carried out here any more" in await command.says()
        await command.process.wait()
        held = await lease.holder()
        assert held is not None
        assert held.run == "run-2"


async def test_a_silent_holder_elsewhere_counts_as_gone_for_status_after_seconds(
    api: Api, namespace: str, start: Start
) -> None:
    command = await start("run-1", "another machine")
    assert await command.says() == "held"
    command.process.kill()
    await asyncio.sleep(1)
    lease = a_lease(api, namespace)
    assert await lease.holder() is not None
    await asyncio.sleep(6)
    async with timed(5, 9):
        assert await lease.holder() is None


async def test_a_deleted_lease_ends_what_it_was_for(api: Api, namespace: str) -> None:
    told: list[str] = []
    reached = False
    async with timed(0, 15):
        with pytest.raises(BusyError, match=r"its lease run-lock-iris in namespace .* was deleted"):
            async with a_lease(api, namespace).hold(
                "run-1", on_cancel=never, on_lost=lambda: told.append("lost")
            ):
                await api.delete(LEASE, "run-lock-iris", namespace)
                await asyncio.sleep(30)
                reached = True
    assert (told, reached) == (["lost"], False)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # and nothing of the cancellation is left


async def test_a_cancelled_holder_gives_its_lease_back(api: Api, namespace: str) -> None:
    inside = asyncio.Event()

    async def run() -> None:
        async with a_lease(api, namespace).hold("run-1", on_cancel=never):
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    lease = await api.get(LEASE, "run-lock-iris", namespace)
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")


async def test_the_lease_of_a_pod_is_free_when_the_pod_has_ended_or_is_gone(api: Api, namespace: str) -> None:
    made = await api.create(a_pod(namespace, "controller", "import time; time.sleep(5)"))
    inside = Identity.of_pod(namespace, "controller", made["metadata"]["uid"])
    lease, pod_lease = a_lease(api, namespace), a_lease(api, namespace, inside)
    held = await taken(pod_lease)
    async with asyncio.timeout(60):
        while await lease.holder() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    pod = await api.get(POD, "controller", namespace) or {}
    assert pod["status"]["phase"] == "Succeeded"
    async with timed(0, 2):
        assert await lease.holder() is None
        async with lease.hold("run-2", on_cancel=never):
            pass
    held.cancel()
    held = await taken(a_lease(api, namespace, Identity.of_pod(namespace, "never-was", "u-1")))
    async with timed(0, 2), lease.hold("run-3", on_cancel=never):
        pass
    held.cancel()


async def test_a_container_that_was_started_anew_in_its_pod_goes_on_at_once(api: Api, namespace: str) -> None:
    await api.create(a_pod(namespace, "controller", "import time; time.sleep(60)"))
    inside = Identity.of_pod(namespace, "controller", "")
    held = await taken(a_lease(api, namespace, inside))
    async with timed(0, 2), a_lease(api, namespace, inside).hold("run-1", on_cancel=never):
        pass
    held.cancel()


async def taken(lease: PipelineLease) -> asyncio.Task[None]:
    """A task that holds the lease; when that is taken from it, it ends."""
    inside = asyncio.Event()

    async def hold() -> None:
        async with lease.hold("run-1", on_cancel=never):
            inside.set()
            await asyncio.sleep(120)

    task = asyncio.create_task(hold())
    await inside.wait()
    return task


def a_pod(namespace: str, name: str, code: str) -> dict[str, object]:
    container = {
        "name": "controller",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", code],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], "restartPolicy": "Never", "automountServiceAccountToken": False},
    }


class Way:
    """The way to the API server, which can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._open: list[asyncio.StreamWriter] = []
        self._passing: list[asyncio.Future[list[None]]] = []
        self.is_cut = False

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        there = await asyncio.open_connection(*self._there)
        self._open += [writer, there[1]]
        passing = asyncio.gather(_pass(reader, there[1]), _pass(there[0], writer))
        self._passing.append(passing)
        await passing

    @asynccontextmanager
    async def open(self, kubeconfig: Path, copy: Path) -> AsyncIterator[Api]:
        """The cluster by this way."""
        server = await asyncio.start_server(self.connect, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        cluster.update({"server": f"https://{host}:{port}", "tls-server-name": self._there[0]})
        copy.write_text(yaml.safe_dump(config))
        async with Api.open({**os.environ, "KUBECONFIG": str(copy)}, patience=90) as api:
            yield api
        server.close()
        self.cut()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def cut(self) -> None:
        self.is_cut = True
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while text := await reader.read(65536):
            writer.write(text)
            await writer.drain()
    writer.close()


# anyio leaves the tries of a connection that is given up to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_cluster_that_is_away_for_long_takes_the_lease_from_nobody(
    kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    real = urlsplit(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    ways = [Way(real.hostname or "", real.port or 443) for _ in range(2)]
    async with (
        ways[0].open(kubeconfig, tmp_path / "a") as api,
        ways[1].open(kubeconfig, tmp_path / "b") as another,
    ):
        waiting = a_lease(another, namespace).hold("run-2", wait=True, on_cancel=never)
        async with a_lease(api, namespace, ELSEWHERE).hold("run-1", on_cancel=never):
            entering = asyncio.create_task(waiting.__aenter__())
            await asyncio.sleep(3)
            for way in ways:
                way.cut()
            await asyncio.sleep(36)
            ways[1].is_cut = False  # the other one sees a lease that was not renewed for long
            await asyncio.sleep(8)
            ways[0].is_cut = False
            await asyncio.sleep(8)
            assert not entering.done()
            held = await a_lease(api, namespace).holder()
            assert held is not None
            assert held.run == "run-1"
        await asyncio.wait_for(entering, 5)
        await waiting.__aexit__(None, None, None)
