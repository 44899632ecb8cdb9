"""The kinds of Kubernetes objects that bodywork reads or writes, and where its API serves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]  # an object as the JSON of Kubernetes has it


@dataclass(frozen=True)
class Kind:
    """`plural` is the resource's name in URLs and in rules of a Role."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group as rules of a Role name it: "" for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def root(self) -> str:
        """The URL's path of all kinds of its group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL's path of one object, or of the list of them (of all namespaces without one)."""
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{self.root}{within}/{self.plural}{tail}"

    def named(self, name: str, namespace: str | None = None) -> str:
        """In messages: the Job `train` in namespace iris."""
        return f"the {self.kind} `{name}`" + (f" in namespace {namespace}" if namespace else "")

    def all(self, namespace: str | None = None) -> str:
        """In messages: the jobs in namespace iris."""
        return f"the {self.plural}" + (f" in namespace {namespace}" if namespace else "")


POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
EVENT = Kind("v1", "Event", "events")
PERSISTENT_VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("v1", "Node", "nodes", namespaced=False)
JOB = Kind("batch/v1", "Job", "jobs")
CRON_JOB = Kind("batch/v1", "CronJob", "cronjobs")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
HORIZONTAL_POD_AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
GATEWAY = Kind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
INGRESS_CLASS = Kind("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False)
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
STORAGE_CLASS = Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)

_ALL = tuple(value for value in list(globals().values()) if isinstance(value, Kind))


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """The kind of an object by its own words; a bug in bodywork when it is none of the above."""
    for kind in _ALL:
        if (kind.api_version, kind.kind) == (obj["apiVersion"], obj["kind"]):
            return kind
    raise AssertionError(f"a kind that bodywork does not know: {obj['apiVersion']} {obj['kind']}")
