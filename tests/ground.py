"""A pipeline on the real cluster for tests of crashes: the tool, a namespace, and all that its pods do."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bodywork.run.events import Event
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.client.connection import Connection, Request
from bodywork.targets.kubernetes.client.kubeconfig import access
from bodywork.targets.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    LEASE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Object,
)
from bodywork.targets.kubernetes.lease.lease_object import holder_of
from bodywork.targets.kubernetes.records.records import ClusterRecords
from tool import Answer, Repository, Tool, wait_for

HEAD = """version: "2"
name: {name}
python: "3.12"
"""
SERVER = """
import http.server
http.server.ThreadingHTTPServer(("", 5000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
KINDS = (
    JOB,
    DEPLOYMENT,
    REPLICA_SET,
    SERVICE,
    POD_DISRUPTION_BUDGET,
    HORIZONTAL_POD_AUTOSCALER,
    SECRET,
    CONFIG_MAP,
    LEASE,
    SERVICE_ACCOUNT,
    ROLE,
    ROLE_BINDING,
    PERSISTENT_VOLUME_CLAIM,
)


@dataclass
class Ground:
    """`name` is the pipeline's and its namespace's. `environment` holds the KUBECONFIG of the tests."""

    name: str
    folder: Path
    cache: Path
    environment: Mapping[str, str]
    tool: Tool = field(init=False)
    repository: Repository = field(init=False)

    def __post_init__(self) -> None:
        self.tool = self.another_tool("home")
        path = self.folder / "project"
        path.mkdir()
        self.repository = Repository(path)
        self.repository.git("init", "--quiet", "--initial-branch", "main")

    def another_tool(self, home: str, *, cache: Path | None = None, kubeconfig: Path | None = None) -> Tool:
        """A command line with a home of its own; with another cache, too, it is as on another machine."""
        folder = self.folder / home
        folder.mkdir(exist_ok=True)
        given = {"KUBECONFIG": str(kubeconfig or self.environment["KUBECONFIG"])}
        for name in ("BODYWORK_IMAGE", "BODYWORK_STORE_IMAGE"):
            if value := self.environment.get(name):
                given[name] = value
        return Tool(home=folder, cache=cache or self.cache, extra={"BODYWORK_TARGET": "kubernetes", **given})

    def commit(self, yaml: str, modules: Mapping[str, str]) -> None:
        self.repository.commit({"bodywork.yaml": HEAD.format(name=self.name) + yaml, **modules})

    def deploy(self, *more: str, timeout: float = 240) -> Answer:
        return self.tool("deploy", str(self.repository.path), *more, timeout=timeout)

    def start(self, *more: str, tool: Tool | None = None) -> Running:
        return Running(tool or self.tool, "deploy", str(self.repository.path), *more)

    def status(self) -> Any:
        return self.tool.good("status", self.name, "-o", "json").json

    def ask(self, do: Callable[[Api], Awaitable[Any]]) -> Any:
        """Ask the cluster itself, past any server between."""

        async def call() -> Any:
            async with Api.open(self.environment) as api:
                return await do(api)

        return asyncio.run(call())

    def all(self, kind: Kind, **chosen: str) -> list[Object]:
        found: list[Object] = self.ask(lambda api: api.list(kind, self.name, labels=chosen))
        return found

    def pods(self, stage: str) -> list[Object]:
        found: list[Object] = self.ask(lambda api: api.list(POD, self.name, labels={labels.STAGE: stage}))
        return found

    def running(self, stage: str) -> Object | None:
        """A pod of the stage of which the container runs."""
        for pod in self.pods(stage):
            for one in pod["status"].get("containerStatuses") or ():
                if "running" in one["state"] and "deletionTimestamp" not in pod["metadata"]:
                    return pod
        return None

    def held(self) -> str:
        """Who carries out a run now; "" when nobody does."""
        for lease in self.all(LEASE):
            if holder := holder_of(lease):
                return holder.who
        return ""

    def objects(self, run: str) -> Counter[str]:
        """All there is in the namespace but pods, with RUN for the run's id."""

        async def listed(api: Api) -> list[list[Object]]:
            return await asyncio.gather(*(api.list(kind, self.name) for kind in KINDS))

        every = [one for found in self.ask(listed) for one in found]
        return Counter(f"{one['kind']} {_name(one).replace(run, 'RUN')}" for one in every)

    def newest_run(self) -> str:
        """The id of the newest run that is recorded; "" when there is none."""

        async def newest(api: Api) -> str:
            found = await ClusterRecords(api, "kubernetes", namespace=self.name).runs(limit=1)
            return found[0].run if found else ""

        run: str = self.ask(newest)
        return run

    def events(self) -> list[Event]:
        """What the newest run has recorded so far."""

        async def recorded(api: Api) -> list[Event]:
            records = ClusterRecords(api, "kubernetes", namespace=self.name)
            found = await records.runs(limit=1)
            return await records.events(found[0].run) if found else []

        events: list[Event] = self.ask(recorded)
        return events

    def evict(self, pod: Object) -> None:
        """Ask for a pod to be evicted, as `kubectl drain` does."""
        name = pod["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction"}
        metadata = {"name": name, "namespace": self.name}
        request = Request(
            method="POST",
            path=f"{POD.path(self.name, name)}/eviction",
            params={},
            content=json.dumps({**eviction, "metadata": metadata}).encode(),
        )

        async def call() -> int:
            connection = Connection(access(self.environment, None), self.environment)
            try:
                return (await connection.send(request)).status_code
            finally:
                await connection.close()

        assert asyncio.run(call()) in (200, 201)

    def remove(self) -> None:
        self.ask(lambda api: api.delete(NAMESPACE, self.name))

    def gone(self, what: Callable[[], Any], seconds: float = 60) -> None:
        wait_for(lambda: not what(), seconds=seconds, every=0.3)


def _name(one: Object) -> str:
    name: str = one["metadata"]["name"]
    return name.rpartition("-")[0] if one["kind"] == "ReplicaSet" else name


class Running:
    """A command that goes on, its two streams read as they come."""

    def __init__(self, tool: Tool, *arguments: str) -> None:
        self.child = tool.start(*arguments)
        self.lines: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.child.stdout, self.child.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any) -> None:
        with suppress(ValueError):
            for line in stream:
                self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def says(self, what: str, seconds: float = 60) -> None:
        def said() -> bool:
            assert self.child.poll() is None or what in self._whole(), f"never said {what!r}:\n{self.text}"
            return what in self.text

        wait_for(said, seconds=seconds)

    def _whole(self) -> str:
        for thread in self._threads:
            thread.join(10)
        return self.text

    def kill(self) -> None:
        self.child.kill()
        self.end(10)

    def end(self, seconds: float = 240) -> int:
        """Its exit code, once it has ended."""
        try:
            code = self.child.wait(seconds)
        finally:
            self.child.kill()
            self.child.wait()
            for thread in self._threads:
                thread.join(10)
            for stream in (self.child.stdout, self.child.stderr):
                if stream is not None:
                    stream.close()
        return code

    def good(self, seconds: float = 240) -> str:
        code = self.end(seconds)
        assert code == 0, f"{code}\n{self.text}"
        return self.text
