"""A project with services on a cluster, and clients that ask them all the time from inside it."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import load as load_module
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.client.connection import Connection, Request
from bodywork.targets.kubernetes.client.kubeconfig import access
from bodywork.targets.kubernetes.kinds import NAMESPACE, POD, SERVICE, Kind, Object
from tool import Answer, Repository, Tool, wait_for

IMAGE = os.environ.get("BODYWORK_IMAGE", "localhost/bodywork:dev-python{python}")
PASSED_ON = ("KUBECONFIG", "BODYWORK_STORE_IMAGE")
Result = TypeVar("Result")

SERVER = """
import http.server, os

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{RELEASE}{' ' + os.uname().nodename if self.path.endswith('/who') else ''}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

print("serves", RELEASE)
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""

YAML = """
version: "2"
name: {name}
python: "3.12"
{project}
stages:
  serve:
    run: serve.py
    service: {{port: 5000, startup_timeout: 120s{service}}}
    resources: {{cpu: 0.01}}
{stage}
"""


def files(
    name: str,
    release: str,
    *,
    service: str = ", replicas: 2",
    project: str = "",
    stage: str = "",
    module: str | None = None,
) -> dict[str, str]:
    """A project with one service that answers the name of its release; `module` is its code instead."""
    yaml = YAML.format(name=name, service=service, project=project, stage=textwrap.indent(stage, "    "))
    return {
        "bodywork.yaml": yaml,
        "serve.py": module if module is not None else f"RELEASE = {release!r}\n{SERVER}",
    }


def ask_cluster(do: Callable[[Api], Awaitable[Result]]) -> Result:
    """Ask the cluster of KUBECONFIG."""

    async def call() -> Result:
        async with Api.open(dict(os.environ)) as api:
            return await do(api)

    return asyncio.run(call())


@dataclass(kw_only=True)
class Served:
    """A project of a name of its own, in a namespace of that name."""

    tool: Tool
    repository: Repository
    name: str

    def files(self, release: str, **changed: Any) -> dict[str, str]:
        return files(self.name, release, **changed)

    def commit(self, release: str, **changed: Any) -> str:
        return self.repository.commit(self.files(release, **changed))

    def deploy(self, *arguments: str, code: int = 0) -> Answer:
        answer = self.tool("deploy", str(self.repository.path), *arguments, timeout=240)
        assert answer.code == code, f"{answer.code}\n{answer.out}\n{answer.err}"
        return answer

    def services(self) -> dict[str, dict[str, Any]]:
        """What `status` says of the services, by name."""
        found = self.tool.good("status", self.name, "-o", "json").json["services"]
        return {one["name"]: one for one in found}

    def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> list[Object]:
        return ask_cluster(lambda api: api.list(kind, self.name, labels=labels or {}))

    def get(self, kind: Kind, name: str) -> Object | None:
        return ask_cluster(lambda api: api.get(kind, name, self.name))

    def pods(self, stage: str = "serve") -> list[Object]:
        """The pods of a service that do not leave."""
        found = self.list(POD, {"bodywork/stage": stage, "bodywork/kind": "service"})
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def evict(self, name: str) -> None:
        """As `kubectl drain` does: asked again as long as the service's budget does not allow it."""
        metadata = {"name": name, "namespace": self.name}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        request = Request(
            method="POST",
            path=f"{POD.path(self.name, name)}/eviction",
            params={},
            content=json.dumps(eviction).encode(),
        )

        async def call() -> int:
            connection = Connection(access(dict(os.environ), None), dict(os.environ))
            try:
                return (await connection.send(request)).status_code
            finally:
                await connection.close()

        wait_for(lambda: asyncio.run(call()) in (200, 201), seconds=90, every=1)

    def url(self, host: str = "serve") -> str:
        """The address of a Service: any pod of the cluster reaches it, and this machine may."""
        service = self.get(SERVICE, host)
        assert service is not None
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def delete(self) -> None:
        self.tool("delete", self.name, "--yes")
        ask_cluster(lambda api: api.delete(NAMESPACE, self.name))


@contextmanager
def served(tool: Tool, repository: Repository, word: str = "services") -> Iterator[Served]:
    """At the end all that was deployed is gone."""
    tool.extra |= {"BODYWORK_TARGET": "kubernetes", "BODYWORK_IMAGE": IMAGE}
    tool.extra |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    made = Served(tool=tool, repository=repository, name=f"{word}-{uuid.uuid4().hex[:6]}")
    try:
        yield made
    finally:
        made.delete()


CLIENT = """
import collections, http.server, json, sys

class Tell(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers, failures = list(load.answers), list(load.failures)
        counts = collections.Counter(body for _, body in answers)
        told = {"counts": counts, "failures": failures[:40], "failed": len(failures)}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())
    def log_message(self, *args):
        pass

with loaded(sys.argv[1], sys.argv[2]) as load:
    http.server.ThreadingHTTPServer(("", 8080), Tell).serve_forever()
"""


@dataclass(kw_only=True)
class Client:
    """A pod that asks a service 100 times a second: see load.py, which is its program.

    It tells over HTTP what it has seen: two kubelets on one machine delete each other's logs.
    """

    namespace: str
    name: str

    def now(self) -> dict[str, Any]:
        """What it has seen: `counts` of answers by their text, `failures`, and how many have `failed`."""

        path = f"{POD.path(self.namespace, f'{self.name}:8080')}/proxy/"

        async def call() -> dict[str, Any]:
            connection = Connection(access(dict(os.environ), None), dict(os.environ))
            try:
                answer = await connection.send(Request(method="GET", path=path, params={}))
            finally:
                await connection.close()
            assert answer.status_code == 200, answer.text
            return answer.json()  # type: ignore[no-any-return]

        return asyncio.run(call())

    def until_answered(self, release: str, seconds: float = 30) -> dict[str, Any]:
        """Wait for the answer of a release; what was seen until then."""
        found: dict[str, Any] = wait_for(
            lambda: (now := self.now())["counts"].get(release) and now, seconds, 0.5
        )
        return found

    def asked(self) -> int:
        now = self.now()
        return sum(now["counts"].values()) + int(now["failed"])

    def until_silent(self, release: str, within: float = 30, seconds: float = 3) -> None:
        """Wait until a release gives no answer for some seconds; fails when it still does after `within`."""
        deadline, said, since = time.monotonic() + within, -1, time.monotonic()
        while time.monotonic() - since < seconds:
            if (now := self.now()["counts"].get(release, 0)) != said:
                said, since = now, time.monotonic()
                assert since < deadline, f"{release} answers {within} s later"
            time.sleep(0.5)


@contextmanager
def client(namespace: str, url: str, path: str = "/", *, node: str | None = None) -> Iterator[Client]:
    """Ask `url` from a pod of the cluster, at `node` if one is given, until the end of the block."""
    made = Client(namespace=namespace, name=f"client-{uuid.uuid4().hex[:6]}")
    text = f"{Path(load_module.__file__).read_text()}\n{CLIENT}"
    container = {
        "name": "client",
        "image": IMAGE.replace("{python}", "3.12"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-u", "-c", text, url, path],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": made.name, "namespace": namespace},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
        },
    }
    ask_cluster(lambda api: api.create(pod))
    try:
        wait_for(lambda: _asks(made), seconds=60, every=0.5)
        yield made
    finally:
        ask_cluster(lambda api: api.delete(POD, made.name, namespace, grace=0))


def _asks(made: Client) -> bool:
    with suppress(Exception):
        return bool(made.now()["counts"])
    return False


def answer(url: str, headers: Mapping[str, str] | None = None) -> str:
    """One answer; "" when there is none, or an error."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(request, timeout=5) as found:
        text: str = found.read().decode()
        return text
    return ""
