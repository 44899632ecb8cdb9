"""What a cluster is asked for is what a real one takes, in a namespace that enforces restricted pods."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import HTTP_ROUTE, JOB, POD, SECRET
from bodywork.targets.kubernetes.manifests.autoscaler import autoscaler
from bodywork.targets.kubernetes.manifests.budget import disruption_budget
from bodywork.targets.kubernetes.manifests.containers import fetched
from bodywork.targets.kubernetes.manifests.controller import controller
from bodywork.targets.kubernetes.manifests.deployment import deployment, released
from bodywork.targets.kubernetes.manifests.job import job
from bodywork.targets.kubernetes.manifests.namespace import namespace as namespace_of
from bodywork.targets.kubernetes.manifests.route import gateway_reference, http_route, ingress
from bodywork.targets.kubernetes.manifests.service import services
from bodywork.targets.kubernetes.manifests.source import Source, gather, source_secret
from bodywork.targets.kubernetes.settings import Settings
from planned import DIGEST, OLD, PROJECT, launch_of, lock_of, plan_of, settings_of
from planned import SECRET as SOURCE

pytestmark = pytest.mark.cluster

IMAGE = os.environ.get("BODYWORK_TEST_IMAGE", "localhost/debian-python:3.11")


@pytest.fixture
async def restricted(api: Api, namespace: str) -> str:
    return await enforced(api, namespace)


async def enforced(api: Api, name: str) -> str:
    """A namespace made into one as bodywork makes them."""
    plan = plan_of()
    await api.apply(namespace_of(plan.project, settings_of(plan, namespace=name)))
    return name


def objects(text: str, settings: Settings) -> list[dict[str, Any]]:
    """Everything that a plan can become, pods of their own among it: only for these a level is enforced."""
    plan = plan_of(text)
    found: list[Any] = [source_secret(plan, Source(files={"a": b"a"}), settings)]
    for planned in plan.stages:
        name = planned.stage.name
        launch = launch_of(plan, name, settings)
        init = [fetched(plan, settings, credential="git")]
        if planned.stage.kind == "batch":
            made = job(
                plan, planned, settings, attempt=1, launch=launch, source=SOURCE, variables={}, init=init
            )
        else:
            inputs = {one.name: DIGEST for one in planned.stage.inputs}
            made = deployment(plan, planned, settings, launch=launch, source=SOURCE, inputs=inputs, init=init)
            found += services(plan, planned, settings)
            found += [disruption_budget(plan, planned, settings), autoscaler(plan, planned, settings)]
            found += [http_route(plan, planned, settings, gateways=[gateway_reference("web", "x")])]
            found += [ingress(plan, planned, settings, controller="k8s.io/ingress-nginx")]
        found += [made, pod_of(made, settings)]
    found += controller(plan, settings, variables={"A": "$(B)"})
    found.append(pod_of(found[-1], settings))
    return [obj for obj in found if obj is not None]


def pod_of(owner: dict[str, Any], settings: Settings) -> dict[str, Any]:
    template = json.loads(json.dumps(owner["spec"]["template"]))
    # What these name is not there, and a pod is refused for it at once.
    template["spec"].pop("serviceAccountName", None)
    template["spec"].pop("priorityClassName", None)
    metadata = {**template["metadata"], "name": owner["metadata"]["name"], "namespace": settings.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize("text", [PROJECT, OLD], ids=["native", "old"])
async def test_the_server_takes_every_object(api: Api, restricted: str, text: str) -> None:
    settings = settings_of(plan_of(text), namespace=restricted)
    taken = set()
    for obj in objects(text, settings):
        if obj["kind"] == HTTP_ROUTE.kind and not await api.served(HTTP_ROUTE):
            continue
        answer = await api.apply(obj, dry_run=True)
        assert answer["metadata"]["name"] == obj["metadata"]["name"]
        taken.add(obj["kind"])
    assert {"Secret", "Deployment", "Service", "Ingress", "Role", "RoleBinding", "Job", "Pod"} <= taken


async def test_the_same_objects_again_change_nothing(api: Api, restricted: str) -> None:
    """Deployments are applied anew at every rollout; the server must find them as they were."""
    plan = plan_of()
    settings = settings_of(plan, namespace=restricted)
    planned = plan.stage("serve")
    launch = launch_of(plan, "serve", settings)
    made = deployment(
        plan, planned, settings, launch=launch, source=SOURCE, inputs={"model": DIGEST}, current=2
    )
    first = await api.apply(made)
    await asyncio.sleep(1)
    second = await api.apply(made)
    assert second["metadata"]["generation"] == first["metadata"]["generation"]
    found = released(second)
    assert found is not None
    assert (found.fingerprint, found.inputs, found.replicas) == (planned.fingerprint, {"model": DIGEST}, 2)


async def test_a_secret_of_the_largest_size_is_taken(api: Api, restricted: str, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(os.urandom(898_000))
    plan = plan_of()
    source = gather(tmp_path, [lock_of()])
    assert source.whole
    settings = settings_of(plan, namespace=restricted)
    made = await api.apply(source_secret(plan, source, settings))
    assert await api.get(SECRET, source.name, restricted) is not None
    assert (await api.apply(source_secret(plan, source, settings)))["metadata"]["uid"] == made["metadata"][
        "uid"
    ]


async def test_a_stage_runs_as_it_was_asked_for(api: Api, restricted: str, tmp_path: Path) -> None:
    """The whole way of a small project: Secret, Job, runtime, module, with nothing that is not restricted."""
    check = (
        "import os; print(os.getuid(), os.environ['WORD'], os.path.exists('/var/run/secrets/kubernetes.io'))"
    )
    (tmp_path / "stage.py").write_text(check)
    word = "$(HOME) $$5 ${x}"
    stage = f'{{run: stage.py, env: {{WORD: "{word}"}}}}'
    plan = plan_of(f'version: "2"\nname: small\npython: "3.11"\nstages: {{one: {stage}}}\n')
    settings = Settings.of(plan.project, {"BODYWORK_IMAGE": IMAGE}, namespace=restricted)
    source = gather(tmp_path, [lock_of("")])
    await api.apply(source_secret(plan, source, settings))
    launch = launch_of(plan, "one", settings, lock=lock_of(""))
    planned = plan.stage("one")
    made = job(plan, planned, settings, attempt=1, launch=launch, source=source.name, variables={})
    await api.apply(made)
    log = await said(api, restricted, made["metadata"]["name"])
    assert f"10001 {word} False" in log.splitlines()


async def said(api: Api, place: str, name: str) -> str:
    """What the pod of a Job printed, once it has ended well."""
    async with asyncio.timeout(60):
        while True:
            found = await api.get(JOB, name, place)
            if found is not None and (found.get("status") or {}).get("succeeded"):
                break
            pods = await api.list(POD, place, labels={"job-name": name})
            assert not any(pod["status"].get("phase") == "Failed" for pod in pods), pods
            await asyncio.sleep(0.2)
    (pod,) = await api.list(POD, place, labels={"job-name": name})
    chunks = [chunk async for chunk in api.log(pod["metadata"]["name"], place, container="stage")]
    return b"".join(chunks).decode()
