"""Batch stages on a real cluster: what they print, how they end, what is said when they cannot run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bodywork.run.events import Event, RunStarted, StageOutput, StageStarted, StageWaiting
from bodywork.targets.base import Ended, Printed, Waiting
from bodywork.targets.kubernetes.batch.jobs import condition
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import JOB, NAMESPACE, POD, RESOURCE_QUOTA, Kind
from bodywork.targets.kubernetes.pods.ending import running
from pipelines import Pipeline, open_pipeline

pytestmark = pytest.mark.cluster

YAML = """
    version: "2"
    name: work
    python: "3.12"
    workflow: a
    stages:
      a:
        run: a.py
        batch: {timeout: 1m}
"""


@pytest.fixture
async def work(api: Api, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with open_pipeline(api, tmp_path, {"bodywork.yaml": YAML, "a.py": "print('hello')\n"}) as pipeline:
        yield pipeline


def with_stage(**settings: str) -> str:
    """bodywork.yaml with more said of its stage."""
    more = "".join(f"\n        {name}: {value}" for name, value in settings.items())
    return YAML.replace("run: a.py", f"run: a.py{more}")


async def eviction(pod: dict[str, Any]) -> None:
    """As `kubectl drain` asks for it."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    wanted = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"gracePeriodSeconds": 1},
    }
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    process = await asyncio.create_subprocess_exec(
        "kubectl", "create", "--raw", path, "-f", "-",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await process.communicate(json.dumps(wanted).encode())
    assert process.returncode == 0


async def pods(work: Pipeline) -> list[dict[str, Any]]:
    return await work.api.list(POD, work.namespace)


async def until(work: Pipeline, kind: Kind, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Until it holds of an object of that kind."""
    async with aclosing(work.api.watch(kind, work.namespace)) as changes:
        async for change in changes:
            if change.object and holds(change.object):
                return


class TestEnds:
    async def test_success(self, work: Pipeline) -> None:
        seen = await work.deploy()
        assert seen.states == {"a": "succeeded"}
        assert seen.output("a") == "hello\n"
        assert seen.ended("a").exit_code == 0
        assert work.logs == {"a": b"hello\n"}

    @pytest.mark.parametrize(
        ("module", "reason", "code"),
        [
            ("raise SystemExit(3)", "exited with 3", 3),
            ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL", None),
        ],
    )
    async def test_failure(self, work: Pipeline, module: str, reason: str, code: int | None) -> None:
        work.files["a.py"] = module
        seen = await work.deploy()
        assert (seen.reason("a"), seen.ended("a").exit_code) == (reason, code)

    async def test_out_of_memory(self, work: Pipeline) -> None:
        work.files["bodywork.yaml"] = with_stage(resources="{memory: 100Mi}")
        work.files["a.py"] = "x = b'x' * 10**9"
        seen = await work.deploy()
        assert seen.reason("a") == "ran out of memory: its limit is 100Mi; raise it (resources.memory)"

    async def test_time_is_up_and_another_attempt(self, work: Pipeline) -> None:
        work.files["bodywork.yaml"] = YAML.replace("timeout: 1m", "timeout: 2s, retries: 1")
        work.files["a.py"] = "import time; print('so far'); time.sleep(600)"
        seen = await work.deploy()
        assert seen.reason("a") == "did not end within 2s (batch.timeout); its processes were stopped"
        assert seen.output("a") == "so far\nso far\n"
        assert await work.api.list(JOB, work.namespace) == []

    async def test_cancel(self, work: Pipeline) -> None:
        work.files["a.py"] = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: (print('leaving'), sys.exit(5)))\n"
            "print('ready', flush=True)\n"
            "time.sleep(600)\n"
        )
        cancel = asyncio.Event()
        seen = await work.deploy(cancel=cancel, when={StageOutput: lambda _: cancel.set()})
        assert seen.states == {"a": "cancelled"}
        assert "leaving" in seen.output("a")
        assert await work.api.list(JOB, work.namespace) == []

    async def test_much_output_and_odd_lines(self, work: Pipeline) -> None:
        # less than 10 MiB with the kubelet's stamps: it may break a line where it begins another file
        work.files["a.py"] = (
            "import sys\n"
            "line = 'x' * 99\n"
            "for n in range(40_000): print(n % 10, line, sep='')\n"
            "sys.stdout.flush()\n"
            "sys.stdout.buffer.write(b'y' * 3_000_000 + b'\\n\\xff\\xfe\\nno end')\n"
        )
        seen = await work.deploy()
        assert seen.states == {"a": "succeeded"}
        printed = seen.output("a")
        assert printed.endswith("\n\ufffd\ufffd\nno end\n")
        lines = printed.splitlines()
        assert [line[0] for line in lines[:40_000]] == [str(n % 10) for n in range(40_000)]
        assert printed.count("y") == 3_000_000
        assert len(work.logs["a"]) <= 65536


class TestWaiting:
    async def test_no_node_has_room(self, work: Pipeline) -> None:
        work.files["bodywork.yaml"] = with_stage(resources="{cpu: 64}")
        cancel = asyncio.Event()
        seen = await work.deploy(cancel=cancel, when={StageWaiting: lambda _: cancel.set()})
        assert seen.states == {"a": "cancelled"}
        (why,) = seen.waits("a")
        assert why.startswith("no node can take it: ")
        assert "too little cpu free; it asks for 64 (resources.cpu)" in why

    @pytest.mark.slow
    async def test_a_secret_that_never_comes(self, work: Pipeline) -> None:
        work.files["bodywork.yaml"] = with_stage(secrets="{KEY: aws-creds}")
        seen = await work.deploy()
        assert seen.states == {"a": "failed"}
        assert seen.reason("a").startswith(
            "there is no secret aws-creds; make it: bodywork secret set aws-creds KEY --target kubernetes"
        )
        assert seen.starts("a") == []
        assert await work.api.list(JOB, work.namespace) == []

    @pytest.mark.slow
    async def test_an_image_that_never_comes(self, work: Pipeline) -> None:
        work.image = "localhost/none:{python}"
        seen = await work.deploy()
        assert seen.states == {"a": "failed"}
        assert seen.reason("a").startswith("image localhost/none:3.12 cannot be pulled: ")
        assert seen.waits("a")

    async def test_a_quota_that_is_too_small(self, work: Pipeline) -> None:
        plan = await work.plan()
        await work.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": work.namespace}})
        quota = {
            "apiVersion": "v1",
            "kind": RESOURCE_QUOTA.kind,
            "metadata": {"name": "small", "namespace": work.namespace},
            "spec": {"hard": {"requests.memory": "1Mi"}},
        }
        await work.api.create(quota)
        seen = await work.run(plan)
        assert seen.reason("a").startswith(
            "quota small of its namespace is exceeded: it asks for requests.mem"
        )


class TestLost:
    MODULE = "import time; print('begun', flush=True); time.sleep(8); print('done')"

    async def test_a_deleted_pod_is_no_failure(self, work: Pipeline) -> None:
        work.files["a.py"] = self.MODULE
        deleted = []

        async def delete(event: StageStarted) -> None:
            if not deleted:
                (pod,) = await pods(work)
                deleted.append(pod["metadata"]["name"])
                await work.api.delete(POD, pod["metadata"]["name"], work.namespace, grace=1)

        seen = await work.deploy(when={StageStarted: delete})
        assert seen.states == {"a": "succeeded"}
        assert len(seen.starts("a")) == 2
        assert seen.waits("a") == ["its pod was deleted; it is started again", ""]
        assert "done\n" in seen.output("a")

    async def test_so_is_one_that_went_before_it_was_seen(self, work: Pipeline) -> None:
        """As when a command is resumed just then: its Job has failed, and nothing tells of what."""
        work.files["a.py"] = self.MODULE
        plan, target = await work.plan(), work.target()
        await target.prepare(plan, plan.stages[0])
        handle = await target.start(plan, plan.stages[0], attempt=1, inputs={}, variables={})
        await until(work, POD, running)
        (pod,) = await pods(work)
        await work.api.delete(POD, pod["metadata"]["name"], work.namespace, grace=0)
        await until(work, JOB, lambda job: condition(job, "Failed") is not None)
        while await pods(work):  # noqa: ASYNC110 - it is as good as gone
            await asyncio.sleep(0.1)
        signs = [sign async for sign in target.watch(handle)]
        await target.close(plan)
        waits = [sign.reason for sign in signs if isinstance(sign, Waiting)]
        assert waits[0] == "its pod was deleted; it is started again"
        assert isinstance(signs[-1], Ended) and signs[-1].ok
        assert "done\n" in "".join(sign.text for sign in signs if isinstance(sign, Printed))

    async def test_an_evicted_pod_is_replaced_by_kubernetes(self, work: Pipeline) -> None:
        work.files["a.py"] = self.MODULE
        evicted = []

        async def evict(event: StageStarted) -> None:
            if not evicted:
                (pod,) = await pods(work)
                evicted.append(pod["metadata"]["name"])
                await eviction(pod)

        seen = await work.deploy(when={StageStarted: evict})
        assert seen.states == {"a": "succeeded"}
        assert len(seen.starts("a")) == 2
        assert seen.waits("a")[0] == (
            "it was evicted from its node (kubectl drain, or an autoscaler); it is started again"
        )

    async def test_a_deleted_job_is_a_failure(self, work: Pipeline) -> None:
        work.files["a.py"] = self.MODULE

        async def delete(event: StageStarted) -> None:
            (job,) = await work.api.list(JOB, work.namespace)
            await work.api.delete(JOB, job["metadata"]["name"], work.namespace)

        seen = await work.deploy(when={StageStarted: delete})
        assert seen.states == {"a": "failed"}
        assert seen.reason("a") == "its Job was deleted, and not by this command"
        assert await work.api.list(JOB, work.namespace) == []


class TestResume:
    async def left(self, work: Pipeline, seconds: float) -> tuple[Any, list[Event]]:
        """A run of which the command was killed once the stage ran; and its events."""
        plan, target = await work.plan(), work.target()
        await target.prepare(plan, plan.stages[0])
        handle = await target.start(plan, plan.stages[0], attempt=1, inputs={}, variables={})
        await asyncio.sleep(seconds)
        await target.close(plan)
        past: list[Event] = [
            RunStarted(at=1.0, run=plan.run),
            StageStarted(at=2.0, stage="a", attempt=1, handle=handle.key),
        ]
        return plan, past

    @pytest.mark.parametrize("seconds", [0.0, 2.0, 6.0])
    async def test_what_runs_or_has_succeeded_is_taken_over(self, work: Pipeline, seconds: float) -> None:
        work.files["a.py"] = "import time; print(time.time()); time.sleep(3); print('done')"
        plan, past = await self.left(work, seconds)
        seen = await work.run(plan, past=past)
        assert seen.states == {"a": "succeeded"}
        assert seen.output("a").endswith("done\n")
        assert len(seen.output("a").splitlines()) == 2
        assert len(await pods(work)) == 1

    async def test_what_has_failed_is_run_anew(self, work: Pipeline) -> None:
        work.files["a.py"] = "raise SystemExit(3)"
        plan, past = await self.left(work, 0.0)
        before = await pods(work)
        while [pod["status"]["phase"] for pod in before] != ["Failed"]:
            await asyncio.sleep(0.2)
            before = await pods(work)
        seen = await work.run(plan, past=past)
        assert seen.reason("a") == "exited with 3"
        (after,) = await pods(work)
        assert before[0]["metadata"]["uid"] != after["metadata"]["uid"]

    async def test_stopped_by_another_command(self, work: Pipeline) -> None:
        work.files["a.py"] = "import time; time.sleep(600)"
        plan, _ = await self.left(work, 2.0)
        other = work.target()
        began = time.monotonic()
        await other.clean(plan, {})
        await other.close(plan)
        assert time.monotonic() - began < 60
        assert await work.api.list(JOB, work.namespace) == []


async def test_a_namespace_is_made_once_and_for_restricted_pods(work: Pipeline) -> None:
    await work.deploy()
    namespace = await work.api.get(NAMESPACE, work.namespace)
    assert namespace is not None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert (await work.deploy()).state == "succeeded"
