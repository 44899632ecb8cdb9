"""The store that bodywork starts in a namespace where no other one is named: an S3 server on a claim.

One pod with two servers over the same folders: one that takes everything, for the URLs that are
signed with the writer's key, and one that only reads, for the init containers of services, which
hold the reader's key for as long as they live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bodywork.artifacts.address import Address
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.security import container_security, pod_security
from bodywork.targets.kubernetes.settings import Settings

NAME = "bodywork-store"
WRITER = "bodywork-store-writer"
READER = "bodywork-store-reader"
BUCKET = "bodywork"
PORT, READ_PORT = 7070, 7071
SIZE = "10Gi"
HEALTH = "/healthz"
DATA = "/data"
KEY_ID, KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
LABELS = {
    labels.MANAGED_BY: labels.MANAGER,
    labels.PART_OF: labels.MANAGER,
    labels.NAME: NAME,
    f"{labels.PREFIX}part": "store",
}
"""Of the namespace, not of a pipeline: all pipelines in it share the store."""


def address(namespace: str, port: int = PORT) -> Address:
    """The store as pods of any namespace reach it."""
    endpoint = f"http://{NAME}.{namespace}.svc:{port}"
    return Address(scheme="s3", bucket=BUCKET, endpoint=endpoint, region="us-east-1")


def credential(name: str, namespace: str, key_id: str, key: str) -> Object:
    """The Secret of the writer or of the reader."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(name, namespace),
        "type": "Opaque",
        "immutable": True,
        "stringData": {KEY_ID: key_id, KEY: key},
    }


def claim(namespace: str, size: str = SIZE) -> Object:
    """Room on the cluster's default storage class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(NAME, namespace),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


def service(namespace: str) -> Object:
    ports = {"s3": PORT, "s3-read": READ_PORT}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(NAME, namespace),
        "spec": {
            "type": "ClusterIP",
            "selector": LABELS,
            "ports": [{"name": name, "port": port, "targetPort": name} for name, port in ports.items()],
        },
    }


def deployment(settings: Settings, pull_secrets: Sequence[str] = ()) -> Object:
    """Recreate, since a claim can be mounted once: two servers never write to the same folder."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(NAME, settings.namespace),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": _pod(settings, pull_secrets)},
        },
    }


def _pod(settings: Settings, pull_secrets: Sequence[str]) -> Object:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        **({"imagePullSecrets": [{"name": name} for name in pull_secrets]} if pull_secrets else {}),
        "containers": [
            _server("writer", settings, WRITER, "s3", PORT),
            _server("reader", settings, READER, "s3-read", READ_PORT, "--readonly"),
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": NAME}}],
    }


def _server(name: str, settings: Settings, secret: str, port_name: str, port: int, *options: str) -> Object:
    """One server. The program is looked for in PATH, wherever an image has it.

    The kubelet makes the folders of sub-paths; that is how the bucket comes to be. Facts about
    objects go beside them (`--sidecar`), since not every volume has extended attributes.
    """
    served = [
        "--health",
        HEALTH,
        "--quiet",
        *options,
        "posix",
        "--sidecar",
        f"{DATA}/meta",
        f"{DATA}/buckets",
    ]
    probe = {"httpGet": {"path": HEALTH, "port": port_name}}
    return {
        "name": name,
        "image": settings.store_image,
        "imagePullPolicy": settings.pull_policy,
        "command": ["versitygw", "--port", f":{port}", *served],
        "env": [
            {"name": "PATH", "value": "/usr/local/bin:/usr/bin:/bin:/"},
            _key("ROOT_ACCESS_KEY_ID", secret, KEY_ID),
            _key("ROOT_SECRET_ACCESS_KEY", secret, KEY),
            {"name": "GOMEMLIMIT", "value": "400MiB"},
        ],
        "ports": [{"name": port_name, "containerPort": port}],
        "readinessProbe": {**probe, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 5},
        "livenessProbe": {**probe, "periodSeconds": 20, "timeoutSeconds": 10},
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "2", "memory": "512Mi"},
        },
        "securityContext": {**container_security(), "readOnlyRootFilesystem": True},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "data", "mountPath": DATA},
            {"name": "data", "mountPath": f"{DATA}/buckets/{BUCKET}", "subPath": f"buckets/{BUCKET}"},
            {"name": "data", "mountPath": f"{DATA}/meta", "subPath": "meta"},
        ],
    }


def _key(variable: str, secret: str, key: str) -> Object:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _metadata(name: str, namespace: str) -> Object:
    made_for: Mapping[str, str] = LABELS
    return {"name": name, "namespace": namespace, "labels": dict(made_for)}
