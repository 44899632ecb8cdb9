"""Services published to the outside: by the Gateway API, by an Ingress, and what `status` shows of it.

They are asked from this machine, through the gateway of the test cluster.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bodywork.targets.kubernetes.kinds import GATEWAY, HTTP_ROUTE, INGRESS
from load import Load, loaded
from served import SERVER, Served, answer, ask_cluster, served
from tool import Repository, Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ENTRY = "http://localhost:18000"
"""Where `gateway` of the test cluster listens."""

gated = pytest.mark.alone
"""With a gateway for all namespaces: other projects with routes would be published by it, too."""

PATHS = SERVER.replace("RELEASE}", "RELEASE} {self.path}")


@pytest.fixture(scope="module")
def gateway(kubeconfig: object) -> None:
    """A gateway controller on the test cluster."""
    folder = os.environ.get("BODYWORK_TEST_CLUSTER")
    if not folder:
        pytest.skip("no gateway: set BODYWORK_TEST_CLUSTER to the folder of the test cluster's scripts")
    subprocess.run([str(Path(folder) / "gateway")], check=True)


@pytest.fixture
def web(gateway: None, tool: Tool, repository: Repository) -> Iterator[Served]:
    with served(tool, repository, "routes") as made:
        yield made


@contextmanager
def gate_of(namespace: str, **allowed: Any) -> Iterator[str]:
    """A Gateway, as NAMESPACE/NAME; `allowed` are the `allowedRoutes` of its one listener."""
    listener = {"name": "web", "protocol": "HTTP", "port": 18000, "hostname": "localhost", **allowed}
    made = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "gate", "namespace": namespace},
        "spec": {"gatewayClassName": "traefik", "listeners": [listener]},
    }
    ask_cluster(lambda api: api.create(made))
    yield f"{namespace}/gate"
    ask_cluster(lambda api: api.delete(GATEWAY, "gate", namespace))


@pytest.fixture
def gate(namespace: str, gateway: None) -> Iterator[str]:
    """A Gateway for services of all namespaces, as NAMESPACE/NAME."""
    with gate_of(namespace, allowedRoutes={"namespaces": {"from": "All"}}) as made:
        yield made


def settle(load: Load, old: str) -> None:
    """Wait until the old release has been silent for 3 seconds, 30 at most."""
    begun = time.monotonic()
    wait_for(lambda: old not in load.after(time.monotonic() - 3), seconds=30, every=0.2)
    print(f"{old} was silent within {time.monotonic() - begun:.1f} s")


def lost_none(load: Load) -> None:
    print(f"{len(load.answers)} answers, {len(load.failures)} failures: {load.failures[:5]}")
    assert load.failures == []


def through(web: Served, project: str) -> None:
    """Rolled out, rolled back and scaled through a route, without a lost request."""
    path = f"/{web.name}"
    two, three = f", replicas: 2, route: {path}", f", replicas: 3, route: {path}"
    web.commit("one", service=two, project=project)
    web.deploy()
    wait_for(lambda: answer(f"{ENTRY}{path}") == "one", seconds=30, every=0.2)
    with loaded(ENTRY, path) as load:
        web.commit("two", service=two, project=project)
        web.deploy()
        settle(load, "one")
        web.tool.good("rollback", web.name)
        settle(load, "two")
        web.commit("one", service=three, project=project)
        web.deploy()
    lost_none(load)
    assert load.seen() == {"one", "two"}


@gated
def test_a_gateway(web: Served, gate: str) -> None:
    through(web, f"kubernetes: {{gateway: {gate}}}")
    (service,) = web.services().values()
    assert service["url"] == f"{ENTRY}/{web.name}"
    web.commit("one", project=f"kubernetes: {{gateway: {gate}}}")
    web.deploy()
    assert web.list(HTTP_ROUTE) == []
    (service,) = web.services().values()
    assert service["url"] == f"http://serve.{web.name}.svc:5000"


@gated
@pytest.mark.parametrize("named", [True, False])
def test_a_detached_run_publishes_through_a_gateway_that_its_controller_may_not_see(
    web: Served, gate: str, named: bool
) -> None:
    said = {"project": f"kubernetes: {{gateway: {gate}}}"} if named else {}
    web.tool.extra["BODYWORK_GATEWAY"] = "" if named else gate
    web.commit("one", service=f", route: /{web.name}", **said)
    web.deploy("--detach")
    wait_for(lambda: answer(f"{ENTRY}/{web.name}") == "one", seconds=90, every=0.5)
    wait_for(
        lambda: web.tool.good("status", web.name, "-o", "json").json["state"] == "succeeded",
        seconds=30,
        every=0.5,
    )


def test_a_gateway_for_its_own_namespace_is_none_for_another(web: Served, namespace: str) -> None:
    with gate_of(namespace) as theirs:
        web.commit("one", service=f", route: /{web.name}")
        web.deploy()
        assert web.list(HTTP_ROUTE) == []
        assert len(web.list(INGRESS)) == 1
        web.commit("one", service=f", route: /{web.name}", project=f"kubernetes: {{gateway: {theirs}}}")
        refused = web.tool("deploy", str(web.repository.path))
        assert refused.code == 2
        assert (
            f"the gateway {theirs} takes no routes of namespace {web.name}; "
            "allow them in its listeners (allowedRoutes), or name another one (kubernetes.gateway)"
        ) in refused.err
    with gate_of(web.name) as ours:
        web.commit("two", service=f", route: /{web.name}")
        web.deploy()
        assert web.list(INGRESS) == []
        (route,) = web.list(HTTP_ROUTE)
        assert [one["namespace"] for one in route["spec"]["parentRefs"]] == [ours.partition("/")[0]]
        wait_for(lambda: answer(f"{ENTRY}/{web.name}") == "two", seconds=30, every=0.2)


def test_an_ingress(web: Served) -> None:
    through(web, "kubernetes: {ingress_class: traefik}")
    assert [one["spec"]["ingressClassName"] for one in web.list(INGRESS)] == ["traefik"]


OLD = """
version: "1.1"
project: {{name: {name}, docker_image: "bodyworkml/bodywork-core:3.0", DAG: serve_it}}
stages:
  serve_it:
    executable_module_path: serve.py
    cpu_request: 0.05
    memory_request_mb: 64
    service: {{max_startup_time_seconds: 30, replicas: 1, port: 5000, ingress: true}}
logging: {{log_level: INFO}}
"""


@gated
def test_ingress_true_of_an_old_project_takes_the_prefix_off(web: Served, gate: str) -> None:
    """Old projects name no gateway: there has to be one only."""
    if len(ask_cluster(lambda api: api.list(GATEWAY))) > 1:
        pytest.skip("the cluster has several gateways")
    module = f"RELEASE = 'one'\n{PATHS}"
    web.repository.commit({"bodywork.yaml": OLD.format(name=web.name), "serve.py": module})
    web.deploy("--image", os.environ.get("BODYWORK_IMAGE", "").replace("{python}", "3.9"))
    url = f"{ENTRY}/{web.name}/serve-it"
    wait_for(lambda: answer(f"{url}/score/x") == "one /score/x", seconds=30, every=0.2)
    (service,) = web.services().values()
    assert service["url"] == url
