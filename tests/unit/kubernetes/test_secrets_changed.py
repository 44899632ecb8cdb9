"""When keys of Secrets were changed, which Deployments use them, and what fetching pods are given."""

from __future__ import annotations

import base64
from typing import Any

from bodywork.app.cluster.secrets import refers_to, user
from bodywork.targets.kubernetes.manifests.deployment import deployment
from bodywork.targets.kubernetes.secrets.git_credential import Token, credential_secret
from bodywork.targets.kubernetes.secrets.kept_secrets import CHANGED, MINE, changes
from planned import OLD, SECRET, launch_of, plan_of, settings_of

DATA = {"API_TOKEN": "eA==", "OTHER": "eQ=="}


def test_a_secret_of_ours_knows_it_for_each_key() -> None:
    secret: dict[str, Any] = {
        "metadata": {"labels": MINE, "annotations": {CHANGED: '{"API_TOKEN": 12.5, "OTHER": 20}'}},
        "data": DATA,
    }
    assert changes(secret) == {"API_TOKEN": 12.5, "OTHER": 20.0}


def test_of_another_one_the_newest_change_counts() -> None:
    metadata = {
        "creationTimestamp": "2026-03-01T06:00:00Z",
        "managedFields": [{"manager": "a", "time": "2026-03-01T06:00:10Z"}, {"manager": "b"}],
    }
    assert changes({"metadata": metadata, "data": DATA}) == {"API_TOKEN": 1772344810.0, "OTHER": 1772344810.0}
    del metadata["managedFields"]
    assert changes({"metadata": metadata}) == {}


def test_a_deployment_tells_which_keys_it_uses() -> None:
    plan = plan_of(OLD)
    settings = settings_of(plan)
    launch = launch_of(plan, "stage_4", settings)
    made = deployment(plan, plan.stage("stage_4"), settings, launch=launch, source=SECRET, inputs={})
    assert refers_to(made) == {("prod-weather-service", "API_TOKEN")}
    assert user(made) == "stage-4 of old-project"


def test_a_token_for_pods_that_fetch() -> None:
    token = Token(user="me", password="t0k3n")
    assert "t0k3n" not in repr(token)
    data = credential_secret(plan_of(), "iris", token)["data"]
    assert {name: base64.b64decode(value) for name, value in data.items()} == {
        "username": b"me",
        "password": b"t0k3n",
    }
