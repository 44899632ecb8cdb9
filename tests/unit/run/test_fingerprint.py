"""Which settings of a cluster make a service new, and that plans keep all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bodywork.run.fingerprint import parts_of
from bodywork.run.record import decode_plan, encode_plan
from bodywork.spec.model import Autoscale, Placement, Stage, Toleration
from planned import PROJECT, plan_of

PLACEMENTS = [
    Placement(service_account="x"),
    Placement(node_selector={"disk": "ssd"}),
    Placement(tolerations=(Toleration(key="gpu"),)),
    Placement(annotations={"cost-centre": "ml"}),
]


def settings(stage: Stage) -> str:
    return parts_of(stage, plan_of().project, "files", "environment")["settings"]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_service_that_is_to_be_placed_otherwise_is_new(placement: Placement) -> None:
    stage = replace(plan_of().stage("serve").stage, placement=Placement())
    assert settings(replace(stage, placement=placement)) != settings(stage)


def test_an_autoscaler_is_a_setting() -> None:
    stage = plan_of().stage("serve").stage
    assert stage.service.autoscale == Autoscale(max=5)
    assert settings(replace(stage, does=replace(stage.service, autoscale=None))) != settings(stage)


def test_a_plan_comes_back_with_all_that_is_asked_of_a_cluster() -> None:
    cluster = "kubernetes:\n  cache: {claim: packages}\n  gateway: infra/web\n  prepare_timeout: 1h\n"
    plan = plan_of(PROJECT.replace("kubernetes:\n", cluster, 1))
    back = decode_plan(encode_plan(plan))
    assert back == plan
    assert back.project.cluster == plan.project.cluster
    assert back.stage("train").stage.placement.tolerations[0].seconds == 60


def test_a_service_is_new_when_its_route_leads_through_another_gateway() -> None:
    plan = plan_of()
    stage = plan.stage("serve").stage
    routed = replace(stage, does=replace(stage.service, route="/x"))
    hidden = replace(stage, does=replace(stage.service, route=None))
    project = replace(plan.project, cluster=replace(plan.project.cluster, gateway=None, ingress_class=None))
    moved = replace(project, cluster=replace(project.cluster, gateway="infra/web"))
    for one, changes in ((routed, True), (hidden, False)):
        before, after = (parts_of(one, where, "files", "environment") for where in (project, moved))
        assert (before["settings"] != after["settings"]) is changes
