"""The tool on either target, so that one test can ask both for the same: commands, answers, a steady load.

On a cluster services are asked from a pod, as their users in there do: whichever KUBECONFIG names the
cluster, that always works.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

import load
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import NAMESPACE, POD, SERVICE_ACCOUNT, Object
from bodywork.targets.kubernetes.manifests.security import container_security, pod_security
from tool import Repository, Tool, wait_for

T = TypeVar("T")
Question = tuple[str, Any]
"""A URL, and the document to send there (None: GET)."""

ASK = """
import json, sys, time, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def known(url, deadline=time.monotonic() + 10):
    # Nodes take a moment to learn of a new service: until then it refuses connections.
    while True:
        try:
            return opener.open(url, timeout=10).close()
        except urllib.error.HTTPError:
            return
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)

questions = json.loads(sys.argv[1])
for url in {url for url, _ in questions}:
    known(url)
for url, document in questions:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with opener.open(request, timeout=10) as answer:
        print(answer.read().decode().replace(chr(10), " "))
"""

ASK_ALL_THE_TIME = """
import json, sys
with loaded(sys.argv[1], sys.argv[2]) as load:
    told, last = 0, ""
    while True:
        for at, body in load.answers[told:]:
            told += 1
            if body != last or told % 20 == 0:
                print(json.dumps([time.time() - time.monotonic() + at, last := body]), flush=True)
        while load.failures:
            print(json.dumps([time.time(), None, load.failures.pop(0)]), flush=True)
        time.sleep(0.1)
"""


class Seen(Protocol):
    """What clients that ask all the time have seen."""

    @property
    def failures(self) -> Sequence[str]: ...

    def after(self, moment: float) -> set[str]: ...


class Place(Protocol):
    """A target with the tool for it. `settles`: seconds after a rollout until nobody, not even on a
    connection that was there before, is answered by the old release.
    """

    tool: Tool
    settles: float

    def ask(self, questions: Sequence[Question]) -> list[Any]:
        """The answers, each on a connection of its own."""
        ...

    def loaded(self, url: str, path: str) -> AbstractContextManager[Seen]: ...


def deploy(place: Place, project: Repository, *options: str) -> dict[str, Any]:
    answer: dict[str, Any] = place.tool.good(
        "deploy", str(project.path), "--output", "json", *options, timeout=600
    ).json
    return answer


@dataclass(frozen=True, kw_only=True)
class Local:
    """This machine."""

    tool: Tool
    settles: float = 0.5

    def ask(self, questions: Sequence[Question]) -> list[Any]:
        return [self._ask(url, document) for url, document in questions]

    def _ask(self, url: str, document: Any) -> Any:
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def loaded(self, url: str, path: str) -> AbstractContextManager[Seen]:
        return load.loaded(url, path)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A namespace of a cluster, with another one for those who ask."""

    tool: Tool
    namespace: str
    image: str
    settles: float = 10.0

    @property
    def askers(self) -> str:
        return f"{self.namespace}-askers"

    def make_namespace(self) -> None:
        """Make the pipeline's namespace before bodywork does, for what users put there themselves."""
        self.call(lambda api: _make(api, self.namespace))

    def ask(self, questions: Sequence[Question]) -> list[Any]:
        return [json.loads(line) for line in self.in_pod(ASK, json.dumps(questions)).splitlines()]

    def in_pod(self, code: str, *arguments: str) -> str:
        """What a Python program prints in a pod of its own."""

        async def run(api: Api) -> str:
            name = await self._start(api, code, *arguments)
            async for seen in api.watch(POD, self.askers, fields=f"metadata.name={name}"):
                phase = (seen.object or {}).get("status", {}).get("phase")
                if phase in ("Succeeded", "Failed"):
                    break
            printed = await self._printed(api, name)
            assert phase == "Succeeded", printed
            return printed

        return self.call(run)

    @contextmanager
    def loaded(self, url: str, path: str) -> Iterator[Seen]:
        code = Path(load.__file__).read_text() + ASK_ALL_THE_TIME
        name = self.call(lambda api: self._start(api, code, url, path))
        try:
            found = _PodLoad(read=lambda: self.call(lambda api: self._printed(api, name)))
            wait_for(lambda: found.after(0.0), seconds=60, every=0.5)
            yield found
        finally:
            self.call(lambda api: api.delete(POD, name, self.askers, grace=0))

    def call(self, do: Callable[[Api], Awaitable[T]]) -> T:
        """Ask the cluster something."""

        async def called() -> T:
            async with Api.open(os.environ) as opened:
                return await do(opened)

        return asyncio.run(called())

    async def _start(self, api: Api, code: str, *arguments: str) -> str:
        name = f"asks-{secrets.token_hex(4)}"
        container: Object = {
            "name": "asks",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", code, *arguments],
            "securityContext": container_security(),
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        }
        spec = {"restartPolicy": "Never", "securityContext": pod_security(), "containers": [container]}
        metadata = {"name": name, "namespace": self.askers}
        await api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return name

    async def _printed(self, api: Api, name: str) -> str:
        pod = await api.get(POD, name, self.askers)
        if not ((pod or {}).get("status") or {}).get("containerStatuses"):
            return ""
        statuses = pod["status"]["containerStatuses"] if pod else []
        if "waiting" in statuses[0]["state"]:
            return ""
        return b"".join([part async for part in api.log(name, self.askers, container="asks")]).decode()


@dataclass
class _PodLoad:
    """What the pod tells: a moment with an answer, or with a failure."""

    read: Callable[[], str]
    told: list[list[Any]] = field(default_factory=list)

    def after(self, moment: float) -> set[str]:
        """Moments are those of time.monotonic of this process."""
        lines = self.read().splitlines()
        self.told = [json.loads(line) for line in lines if line.endswith("]")]
        zero = time.time() - time.monotonic()
        return {one[1] for one in self.told if one[1] is not None and one[0] - zero > moment}

    @property
    def failures(self) -> list[str]:
        return [f"{time.ctime(one[0])}: {one[2]}" for one in self.told if one[1] is None]


@contextmanager
def in_cluster(tool: Tool) -> Iterator[Cluster]:
    """The tool with namespaces of its own on the cluster of KUBECONFIG; they go at the end."""
    image = os.environ.get("BODYWORK_IMAGE")
    if not image:
        pytest.skip("no image: set BODYWORK_IMAGE, with {python} for the version of Python")
    store = os.environ.get("BODYWORK_STORE_IMAGE")
    namespace = f"bodywork-whole-{secrets.token_hex(4)}"
    tool.extra |= {"BODYWORK_TARGET": "kubernetes", "BODYWORK_NAMESPACE": namespace, "BODYWORK_IMAGE": image}
    tool.extra |= {"BODYWORK_STORE_IMAGE": store} if store else {}
    made = Cluster(tool=tool, namespace=namespace, image=image.replace("{python}", "3.12"))
    try:
        made.call(lambda api: _make(api, made.askers))
        yield made
    finally:
        for name in (made.askers, namespace):
            made.call(lambda api, name=name: api.delete(NAMESPACE, name))  # type: ignore[misc]


async def _make(api: Api, namespace: str) -> None:
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    # pods cannot be made before the account that they run as is there
    async for seen in api.watch(SERVICE_ACCOUNT, namespace, fields="metadata.name=default"):
        if seen.kind == "set":
            return
