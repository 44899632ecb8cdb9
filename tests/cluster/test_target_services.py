"""Services on a real cluster: rolled out, replaced, undone, removed, and what is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bodywork.run.events import StageStarted
from bodywork.run.plan import Action
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, NAMESPACE, POD, SERVICE
from pipelines import Pipeline, open_pipeline

pytestmark = pytest.mark.cluster

SERVER = """
    import http.server, sys
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ANSWER")
        def log_message(self, *args):
            pass
    print("about to serve")
    http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""

YAML = """
    version: "2"
    name: web
    python: "3.12"
    workflow: serve
    stages:
      serve:
        run: serve.py
        service: {port: 5000, replicas: 2, startup_timeout: 30s, health: /}
"""


@pytest.fixture
async def web(api: Api, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with open_pipeline(api, tmp_path, {"bodywork.yaml": YAML, "serve.py": SERVER}) as pipeline:
        yield pipeline


async def pods(web: Pipeline) -> list[dict[str, Any]]:
    found = await web.api.list(POD, web.namespace, labels={"bodywork/stage": "serve"})
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


async def ask(web: Pipeline, host: str = "serve") -> str:
    """What the service answers, asked at its cluster IP; nodes take a moment to learn of a new one."""
    service = await web.api.get(SERVICE, host, web.namespace)
    assert service is not None
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sm", "5", "--retry", "5", "--retry-delay", "1", "--retry-all-errors"),
        f"http://{service['spec']['clusterIP']}:5000/",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode()


class TestRollout:
    async def test_first_again_and_unchanged(self, web: Pipeline) -> None:
        seen = await web.deploy()
        assert seen.states == {"serve": "succeeded"}
        assert "about to serve\n" in seen.output("serve")
        assert await ask(web) == "ANSWER"
        service = (await web.target().observe("web"))["serve"]
        assert (service.ready, service.replicas, service.reason) == (2, 2, "")
        assert service.url == f"http://serve.{web.namespace}.svc:5000"
        assert service.release

        again = await web.plan()
        assert [one.action for one in again.stages] == [Action.KEEP]
        assert (await web.run(again)).states == {"serve": "unchanged"}

        web.files["serve.py"] = SERVER.replace("ANSWER", "ANOTHER")
        changed = await web.plan()
        assert [one.action for one in changed.stages] == [Action.REPLACE]
        seen = await web.run(changed)
        assert seen.states == {"serve": "succeeded"}
        async with asyncio.timeout(30):  # a node may learn late that the old pods are leaving
            while await ask(web) != "ANOTHER":  # noqa: ASYNC110 (nothing tells of a new answer)
                await asyncio.sleep(0.5)
        assert (await web.target().observe("web"))["serve"].release == changed.run
        assert {pod["metadata"]["labels"]["bodywork/run"] for pod in await pods(web)} == {changed.run}

    async def test_a_release_that_exits_at_once_leaves_the_old_one_serving(self, web: Pipeline) -> None:
        first = await web.plan()
        await web.run(first)
        web.files["serve.py"] = "print('no model here')\nraise SystemExit(3)\n"
        seen = await web.deploy()
        assert seen.states == {"serve": "failed"}
        assert "exited with 3 before it was ready" in seen.reason("serve")
        assert "  no model here" in seen.reason("serve")
        assert await ask(web) == "ANSWER"
        service = (await web.target().observe("web"))["serve"]
        assert (service.release, service.ready) == (first.run, 2)
        assert {pod["metadata"]["labels"]["bodywork/run"] for pod in await pods(web)} == {first.run}

    async def test_a_first_release_that_fails_leaves_nothing(self, web: Pipeline) -> None:
        web.files["serve.py"] = "raise SystemExit(3)\n"
        seen = await web.deploy()
        assert seen.states == {"serve": "failed"}
        assert await web.api.list(DEPLOYMENT, web.namespace) == []
        assert await web.api.list(SERVICE, web.namespace) == []
        assert await web.target().observe("web") == {}

    async def test_a_release_that_is_never_ready(self, web: Pipeline) -> None:
        await web.deploy()
        web.files["bodywork.yaml"] = YAML.replace("30s", "5s")
        web.files["serve.py"] = "import time\nprint('thinking')\ntime.sleep(600)\n"
        seen = await web.deploy()
        assert seen.states == {"serve": "failed"}
        assert seen.reason("serve") == (
            "was not ready within 5s (service.startup_timeout): replica 1 does not answer well to GET / "
            "at port 5000; the last that it printed:\n  thinking"
        )
        assert await ask(web) == "ANSWER"

    async def test_cancelled_in_the_middle(self, web: Pipeline) -> None:
        first = await web.plan()
        await web.run(first)
        web.files["serve.py"] = "import time\ntime.sleep(600)\n"
        cancel = asyncio.Event()
        seen = await web.deploy(cancel=cancel, when={StageStarted: lambda _: cancel.set()})
        assert seen.states == {"serve": "cancelled"}
        assert (await web.target().observe("web"))["serve"].release == first.run
        assert {pod["metadata"]["labels"]["bodywork/run"] for pod in await pods(web)} == {first.run}

    async def test_left_half_done_by_a_command_and_cleaned_by_another(self, web: Pipeline) -> None:
        first = await web.plan()
        await web.run(first)
        web.files["serve.py"] = "import time\ntime.sleep(600)\n"
        plan = await web.plan()
        target = web.target()
        await target.prepare(plan, plan.stages[0])
        await target.start(plan, plan.stages[0], attempt=1, inputs={}, variables={})
        await target.close(plan)  # as if killed
        assert (await web.target().observe("web"))["serve"].release == first.run
        other = web.target()
        await other.clean(plan, {})
        await other.close(plan)
        assert {pod["metadata"]["labels"]["bodywork/run"] for pod in await pods(web)} == {first.run}
        assert await ask(web) == "ANSWER"


class TestOthers:
    async def test_an_object_of_somebody_else_is_an_error(self, web: Pipeline) -> None:
        plan = await web.plan()
        await web.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": web.namespace}})
        theirs = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "serve",
                "namespace": web.namespace,
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
            },
            "spec": {"ports": [{"port": 80}]},
        }
        await web.api.create(theirs)
        seen = await web.run(plan)
        assert seen.reason("serve") == (
            f"there is a Service serve in namespace {web.namespace} that belongs to Helm "
            "(rename the stage serve, or deploy into another namespace with --namespace)"
        )
        assert await web.api.list(DEPLOYMENT, web.namespace) == []

    async def test_remove_and_erase(self, web: Pipeline) -> None:
        plan = await web.plan()
        await web.run(plan)
        target = web.target()
        await target.remove("web", frozenset({"serve", "unknown"}))
        assert await web.api.list(DEPLOYMENT, web.namespace) == []
        assert await pods(web) == []
        await target.erase("web")
        await target.close(plan)
        namespace = await web.api.get(NAMESPACE, web.namespace)
        assert namespace is None or namespace["status"]["phase"] == "Terminating"
