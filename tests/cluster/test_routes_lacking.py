"""A route that the cluster cannot serve: said before anything is made."""

from __future__ import annotations

import pytest

from bodywork.targets.kubernetes.kinds import DEPLOYMENT
from places import Cluster
from tool import Repository

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SERVER = "import http.server\nhttp.server.test(http.server.SimpleHTTPRequestHandler, port=5000)\n"
NATIVE = """\
version: "2"
name: web
python: "3.12"
kubernetes: {ingress_class: not-there}
workflow: serve
stages:
  serve: {run: serve.py, service: {port: 5000, route: /web}}
"""


def test_it_is_refused_before_anything_is_made(cluster: Cluster, repository: Repository) -> None:
    repository.commit({"bodywork.yaml": NATIVE, "serve.py": SERVER})
    planned = cluster.tool.good("plan", str(repository.path))
    assert "the cluster has no Ingress class not-there" in planned.err
    refused = cluster.tool("deploy", str(repository.path))
    assert refused.code == 2
    assert "the cluster has no Ingress class not-there; install one" in refused.err
    made = cluster.call(lambda api: api.list(DEPLOYMENT, cluster.namespace))
    assert made == []
