"""The objects of a service: its Deployment, its names, its budget, its autoscaler and its routes."""

from __future__ import annotations

from typing import Any

import pytest

from bodywork.errors import UsageError
from bodywork.run.plan import Plan, PlannedStage, decided_at_last
from bodywork.targets.kubernetes.manifests.autoscaler import autoscaler
from bodywork.targets.kubernetes.manifests.budget import disruption_budget
from bodywork.targets.kubernetes.manifests.deployment import deployment, released
from bodywork.targets.kubernetes.manifests.route import NGINX, gateway_reference, http_route, ingress
from bodywork.targets.kubernetes.manifests.service import services
from bodywork.targets.kubernetes.settings import Settings
from planned import DIGEST, OLD, PROJECT, RUN, SECRET, launch_of, plan_of, settings_of

GATEWAY = gateway_reference("infra/web", "iris")


def parts(text: str = PROJECT, name: str = "serve") -> tuple[Plan, PlannedStage, Settings]:
    plan = plan_of(text)
    return plan, plan.stage(name), settings_of(plan)


def deployed(text: str = PROJECT, name: str = "serve", **changes: Any) -> dict[str, Any]:
    plan, planned, settings = parts(text, name)
    launch = launch_of(plan, name, settings)
    arguments = {
        "launch": launch,
        "source": SECRET,
        "inputs": {one.name: DIGEST for one in planned.stage.inputs},
    }
    return deployment(plan, planned, settings, **(arguments | changes))


def simple(more: str = "") -> str:
    return f'version: "2"\nname: x\nstages: {{web: {{run: a.py, service: {{port: 80{more}}}}}}}\n'


def test_a_rollout_never_serves_less() -> None:
    spec = deployed()["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec["strategy"]["rollingUpdate"]["maxSurge"] == "25%"
    assert spec["revisionHistoryLimit"] == 10


def test_pods_are_chosen_by_what_no_release_changes() -> None:
    first = deployed()
    chosen = {"bodywork/pipeline": "iris", "bodywork/stage": "serve"}
    assert first["spec"]["selector"] == {"matchLabels": chosen}
    assert chosen.items() <= first["spec"]["template"]["metadata"]["labels"].items()
    assert all(one["spec"]["selector"] == chosen for one in services(*parts()))


def test_readiness_is_what_the_project_says() -> None:
    (container,) = deployed()["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"
    (port,) = container["ports"]
    assert (port["name"], port["containerPort"]) == (container["readinessProbe"]["httpGet"]["port"], 5000)
    (plain,) = deployed(simple(), "web")["spec"]["template"]["spec"]["containers"]
    assert plain["readinessProbe"]["tcpSocket"] == {"port": port["name"]}
    assert "livenessProbe" not in container


def test_the_startup_probe_leaves_room_for_preparing() -> None:
    spec = deployed()["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] >= 1800 + 60
    assert spec["progressDeadlineSeconds"] > probe["failureThreshold"] * probe["periodSeconds"]


def test_a_pod_that_ends_has_time_to_serve_what_still_comes() -> None:
    plan, _, settings = parts()
    launch = launch_of(plan, "serve", settings)
    assert launch.drain > 0
    assert deployed()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == launch.drain + 30


def test_replicas_of_one_release_go_to_different_nodes_where_there_are_some() -> None:
    (spread,) = deployed()["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["matchLabelKeys"] == ["pod-template-hash"]


def test_a_deployment_says_which_release_it_runs() -> None:
    plan, planned, _ = parts()
    found = released(
        {**deployed(current=2), "status": {"readyReplicas": 1}}, url="http://serve:5000", reason="why"
    )
    assert found is not None
    assert (found.name, found.release, found.commit) == ("serve", RUN, plan.source.commit)
    assert (found.ready, found.replicas, found.url, found.reason) == (1, 2, "http://serve:5000", "why")
    assert (found.fingerprint, found.parts, found.inputs) == (
        planned.fingerprint,
        planned.parts,
        {"model": DIGEST},
    )
    assert (
        decided_at_last(planned, found, {"model": DIGEST})[1] == "same files, packages, settings and inputs"
    )


def test_a_deployment_of_others_is_no_release() -> None:
    foreign = {"spec": {"template": {"metadata": {}}}}
    assert released(foreign) is None


def test_the_number_of_replicas_is_left_to_the_autoscaler() -> None:
    assert "replicas" not in deployed()["spec"]
    assert [deployed(current=now)["spec"]["replicas"] for now in (1, 3, 9)] == [2, 3, 5]
    assert deployed(simple(", replicas: 3"), "web", current=7)["spec"]["replicas"] == 3


def test_an_autoscaler_where_one_is_asked_for() -> None:
    made = autoscaler(*parts())
    assert made is not None
    spec = made["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["scaleTargetRef"]["name"] == deployed()["metadata"]["name"]
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert autoscaler(*parts(simple(), "web")) is None


def test_a_service_answers_to_all_its_names() -> None:
    names = [one["metadata"]["name"] for one in services(*parts(OLD, "stage_4"))]
    assert names == ["stage-4", "old-project--stage-4"]
    (port,) = services(*parts())[0]["spec"]["ports"]
    assert port["port"] == 5000


def test_names_that_kubernetes_cannot_take_are_passed_over() -> None:
    text = OLD.replace("DAG: stage_4", "DAG: 4_stage").replace("  stage_4:", "  4_stage:")
    names = [one["metadata"]["name"] for one in services(*parts(text, "4_stage"))]
    assert names == ["old-project--4-stage", "s-4-stage"]


def test_one_replica_at_a_time_is_drained() -> None:
    budget = disruption_budget(*parts())
    assert budget is not None
    assert budget["spec"]["maxUnavailable"] == 1
    assert disruption_budget(*parts(simple(), "web")) is None
    assert disruption_budget(*parts(simple(", autoscale: {max: 3}"), "web")) is not None


def test_a_route_through_a_gateway() -> None:
    made = http_route(*parts(), gateways=[GATEWAY])
    assert made is not None
    assert made["spec"]["parentRefs"] == [GATEWAY]
    (rule,) = made["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/iris"}}]
    assert (rule["backendRefs"][0]["name"], rule["backendRefs"][0]["port"]) == ("serve", 5000)
    assert "filters" not in rule
    assert http_route(*parts(simple(), "web"), gateways=[GATEWAY]) is None


def test_old_projects_do_not_see_the_prefix_of_their_route() -> None:
    made = http_route(*parts(OLD, "stage_4"), gateways=[GATEWAY])
    assert made is not None
    (rule,) = made["spec"]["rules"]
    assert rule["matches"][0]["path"]["value"] == "/old-project/stage-4"
    assert rule["filters"][0]["urlRewrite"]["path"] == {
        "type": "ReplacePrefixMatch",
        "replacePrefixMatch": "/",
    }


def test_a_gateway_is_in_the_namespace_of_the_pipeline_unless_said() -> None:
    assert (GATEWAY["namespace"], GATEWAY["name"]) == ("infra", "web")
    assert gateway_reference("web", "iris")["namespace"] == "iris"


def test_an_ingress_on_clusters_without_gateways() -> None:
    text = PROJECT.replace("kubernetes:\n", "kubernetes:\n  ingress_class: traefik\n", 1)
    made = ingress(*parts(text))
    assert made is not None
    assert made["spec"]["ingressClassName"] == "traefik"
    (path,) = made["spec"]["rules"][0]["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/iris", "Prefix")
    assert "annotations" not in made["metadata"]


def test_an_ingress_takes_a_prefix_off_only_where_it_can() -> None:
    made = ingress(*parts(OLD, "stage_4"), controller=NGINX)
    assert made is not None
    assert made["metadata"]["annotations"] == {"nginx.ingress.kubernetes.io/rewrite-target": "/$2"}
    with pytest.raises(
        UsageError, match="the route /old-project/stage-4 of stage_4 needs its prefix taken off"
    ):
        ingress(*parts(OLD, "stage_4"), controller="traefik.io/ingress-controller")
