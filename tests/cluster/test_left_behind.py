"""What is left of a run that has no pods, and of other people's in a namespace that bodywork made."""

from __future__ import annotations

import itertools

import pytest

from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import INGRESS, NAMESPACE, POD, Object
from bodywork.targets.kubernetes.manifests.security import container_security, pod_security
from places import Cluster
from tool import Repository, wait_for

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


def test_what_was_printed_is_shown_while_its_pod_goes(cluster: Cluster, repository: Repository) -> None:
    """A pod that is being deleted is still listed when its log is gone."""
    deploy(cluster, repository, {"bodywork.yaml": SERVICE, "serve.py": "print('no model')\n1 / 0"}, code=1)
    (run,) = cluster.tool.good("runs", "left", "-o", "json").json
    wait_for(lambda: not cluster.call(lambda api: api.list(POD, cluster.namespace)), seconds=90, every=0.5)
    said = cluster.tool.good("logs", "left", "serve").out
    assert "no model\n" in said
    cluster.call(lambda api: api.create(going(cluster, run["run"])))
    try:
        cluster.call(lambda api: api.delete(POD, "serve-going", cluster.namespace))
        assert cluster.tool.good("logs", "left", "serve").out == said
    finally:
        free = {"metadata": {"finalizers": None}}
        cluster.call(lambda api: api.patch(POD, "serve-going", cluster.namespace, free))


def going(cluster: Cluster, run: str) -> Object:
    """A pod of the run that stays, once it is deleted, until somebody lets it go."""
    marks = {labels.PIPELINE: "left", labels.STAGE: "serve", labels.RUN: run}
    container = {"name": "stage", "image": cluster.image, "securityContext": container_security()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "serve-going",
            "namespace": cluster.namespace,
            "labels": marks,
            "finalizers": ["example.com/stays"],
        },
        "spec": {
            "containers": [container],
            "securityContext": pod_security(),
            "nodeSelector": {"example.com/none": "such"},
        },
    }


def test_a_namespace_with_an_ingress_of_others_stays(cluster: Cluster, repository: Repository) -> None:
    deploy(cluster, repository, {"bodywork.yaml": BATCH, "make.py": "print('made')"}, code=0)
    theirs = {**INGRESS_OF_OTHERS, "metadata": {"name": "theirs", "namespace": cluster.namespace}}
    cluster.call(lambda api: api.create(theirs))
    cluster.tool.good("delete", "left", "--yes")
    left = cluster.call(lambda api: api.get(INGRESS, "theirs", cluster.namespace))
    namespace = cluster.call(lambda api: api.get(NAMESPACE, cluster.namespace))
    assert left is not None and "deletionTimestamp" not in left["metadata"]
    assert namespace is not None and namespace["status"]["phase"] == "Active"
