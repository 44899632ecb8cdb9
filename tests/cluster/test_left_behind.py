"""What is left of a run that has no pods, and of other people's in a namespace that bodywork made."""

from __future__ import annotations

import itertools

import pytest

from bodywork.targets.kubernetes.kinds import INGRESS, NAMESPACE
from places import Cluster
from tool import Repository

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FILE = 'version: "2"\nname: left\npython: "3.12"\nstages:\n'
SERVICE = FILE + "  serve: {run: serve.py, service: {port: 8000}}\n"
BATCH = FILE + "  make: {run: make.py}\n"
INGRESS_OF_OTHERS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "theirs"},
    "spec": {"defaultBackend": {"service": {"name": "elsewhere", "port": {"number": 80}}}},
}


def deploy(cluster: Cluster, repository: Repository, files: dict[str, str], *, code: int) -> None:
    repository.commit(files)
    answer = cluster.tool("deploy", str(repository.path), timeout=300)
    assert answer.code == code, answer.out + answer.err


def test_what_a_service_printed_that_did_not_start_is_kept(cluster: Cluster, repository: Repository) -> None:
    deploy(cluster, repository, {"bodywork.yaml": SERVICE, "serve.py": "print('no model')\n1 / 0"}, code=1)
    for follow in ([], ["--follow"]):
        with cluster.tool.start("logs", "left", "serve", *follow) as logs:
            assert logs.stdout is not None  # its traceback, on stderr, may come before
            assert "no model\n" in itertools.islice(logs.stdout, 10)
            logs.terminate()


def test_a_namespace_with_an_ingress_of_others_stays(cluster: Cluster, repository: Repository) -> None:
    deploy(cluster, repository, {"bodywork.yaml": BATCH, "make.py": "print('made')"}, code=0)
    theirs = {**INGRESS_OF_OTHERS, "metadata": {"name": "theirs", "namespace": cluster.namespace}}
    cluster.call(lambda api: api.create(theirs))
    cluster.tool.good("delete", "left", "--yes")
    left = cluster.call(lambda api: api.get(INGRESS, "theirs", cluster.namespace))
    namespace = cluster.call(lambda api: api.get(NAMESPACE, cluster.namespace))
    assert left is not None and "deletionTimestamp" not in left["metadata"]
    assert namespace is not None and namespace["status"]["phase"] == "Active"
