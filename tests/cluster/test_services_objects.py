"""What a service consists of on a cluster: names, budgets, autoscalers, routes, and their end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bodywork.targets.kubernetes.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    NAMESPACE,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from served import SERVER, Served, ask_cluster, client, served
from tool import Repository, Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ONE = f"RELEASE = 'one'\n{SERVER}"


@pytest.fixture
def web(kubeconfig: object, tool: Tool, repository: Repository) -> Iterator[Served]:
    with served(tool, repository, "objects") as made:
        yield made


def names(objects: list[dict[str, object]]) -> set[str]:
    return {one["metadata"]["name"] for one in objects}  # type: ignore[index]


def test_an_autoscaled_service_keeps_the_replicas_it_has_grown_to(web: Served) -> None:
    scaled = ", replicas: 1, autoscale: {max: 3, cpu: 60}"
    web.commit("one", service=scaled)
    web.deploy()
    scaler = web.get(HORIZONTAL_POD_AUTOSCALER, "serve")
    assert scaler is not None
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 3)
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    # as the autoscaler would, if this cluster had metrics
    grown = {"spec": {"replicas": 3}}
    ask_cluster(lambda api: api.patch(DEPLOYMENT, "serve", web.name, grown, subresource="scale"))
    wait_for(lambda: next(iter(web.services().values()))["ready"] == 3, seconds=60, every=0.5)
    web.commit("two", service=scaled)
    web.deploy()
    deployment = web.get(DEPLOYMENT, "serve")
    assert deployment is not None and deployment["spec"]["replicas"] == 3
    assert len(web.pods()) == 3
    web.commit("two", service=", replicas: 2")
    web.deploy()
    assert web.get(HORIZONTAL_POD_AUTOSCALER, "serve") is None
    assert len(web.pods()) == 2


def test_a_budget_for_two_replicas_and_none_for_one(web: Served) -> None:
    web.commit("one", service=", replicas: 2")
    web.deploy()
    budget = web.get(POD_DISRUPTION_BUDGET, "serve")
    assert budget is not None and budget["spec"]["maxUnavailable"] == 1
    wait_for(
        lambda: web.get(POD_DISRUPTION_BUDGET, "serve")["status"]["disruptionsAllowed"] == 1,  # type: ignore[index]
        seconds=20,
        every=0.5,
    )
    web.commit("one", service=", replicas: 1")
    web.deploy()
    assert web.get(POD_DISRUPTION_BUDGET, "serve") is None


def test_both_names_of_a_service_and_two_of_one_port(web: Served, namespace: str) -> None:
    """The second service binds the loopback, as some projects do."""
    yaml = f"""
version: "2"
name: {web.name}
workflow: first, second
stages:
  first: {{run: first.py, service: {{port: 5000}}}}
  second: {{run: second.py, service: {{port: 5000}}}}
"""
    web.repository.commit(
        {
            "bodywork.yaml": yaml,
            "first.py": f"RELEASE = 'first'\n{SERVER}",
            "second.py": f"RELEASE = 'second'\n{SERVER.replace('0.0.0.0', '127.0.0.1')}",
        }
    )
    web.deploy()
    assert names(web.list(SERVICE)) == {"first", "second", f"{web.name}--first", f"{web.name}--second"}
    for name in ("first", "second"):
        for host in (name, f"{web.name}--{name}"):
            with client(namespace, f"http://{host}.{web.name}.svc:5000") as asking:
                assert set(asking.now()["counts"]) == {name}
    services = web.services()
    assert {name: one["url"] for name, one in services.items()} == {
        name: f"http://{name}.{web.name}.svc:5000" for name in ("first", "second")
    }


def test_a_service_that_the_workflow_no_longer_names(web: Served) -> None:
    def commit(workflow: str) -> None:
        stage = "{{run: {0}.py, service: {{port: 5000, replicas: 2, autoscale: {{max: 3}}}}}}"
        lines = [f"  {name}: {stage.format(name)}" for name in workflow.split(", ")]
        yaml = f'version: "2"\nname: {web.name}\nworkflow: {workflow}\nstages:\n' + "\n".join(lines) + "\n"
        web.repository.commit({"bodywork.yaml": yaml, "first.py": ONE, "second.py": ONE})

    commit("first, second")
    web.deploy()
    commit("first")
    web.deploy()
    for kind in (DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET):
        assert names(web.list(kind)) == {"first"}
    assert names(web.list(SERVICE)) == {"first", f"{web.name}--first"}
    assert web.pods("second") == []
    assert set(web.services()) == {"first"}


def test_a_service_of_somebody_else(web: Served) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "serve", "namespace": web.name, "labels": {"app.kubernetes.io/part-of": "shop"}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "shop"}},
    }
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": web.name}}
    ask_cluster(lambda api: api.create(made))
    ask_cluster(lambda api: api.create(theirs))
    web.commit("one")
    failed = web.deploy(code=1)
    assert f"there is a Service serve in namespace {web.name} that belongs to shop" in failed.err
    assert "rename the stage serve, or deploy into another namespace with --namespace" in failed.err
    web.tool.good("delete", web.name, "--yes")
    there = web.get(SERVICE, "serve")
    assert there is not None and there["spec"]["selector"] == {"app": "shop"}
    assert ask_cluster(lambda api: api.get(NAMESPACE, web.name)) is not None
