"""The pod of a stage, the same for a Job and for a Deployment.

One container `stage` runs the runtime, `/bodywork/launch.py`. It sees `/bodywork`, the files of
the run, read-only; `/work`, its own; and `/cache`, packages that may outlive it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bodywork.run.plan import Plan
from bodywork.spec.model import Cache, Placement, Stage, Toleration
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests import resources, variables
from bodywork.targets.kubernetes.manifests.containers import WORK, InitContainer, uv_for
from bodywork.targets.kubernetes.manifests.launch import CACHE, FOLDER, Launch
from bodywork.targets.kubernetes.manifests.security import container_security, pod_security
from bodywork.targets.kubernetes.settings import Settings

CONTAINER = "stage"
SHARED_MEMORY = "/dev/shm"
READ_ONLY = 0o444


@dataclass(frozen=True, kw_only=True)
class PodParts:
    """What a stage's pod is made of besides its plan.

    `source` is the Secret with the files of the run; `added` are variables of the engine;
    `container` and `spec` are what only a service's pod says; `grace` is in whole seconds.
    """

    launch: Launch
    source: str
    restart: str
    grace: int
    added: Mapping[str, str] = field(default_factory=dict)
    init: Sequence[InitContainer] = ()
    container: Object = field(default_factory=dict)
    spec: Object = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def template(plan: Plan, stage: Stage, settings: Settings, parts: PodParts) -> Object:
    """The template of pods, with its labels and annotations."""
    own = uv_for(stage, settings)
    init = [*([own] if own else []), *parts.init]
    spec = {
        "restartPolicy": parts.restart,
        "terminationGracePeriodSeconds": parts.grace,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        **_placed(stage.placement),
        **({"initContainers": [_init(one, settings) for one in init]} if init else {}),
        "containers": [_container(plan, stage, settings, parts)],
        "volumes": [*_volumes(parts.source, settings.cache), *_secret_volumes(init)],
        **parts.spec,
    }
    annotations = {**stage.placement.annotations, **parts.annotations}
    return {
        "metadata": {
            "labels": {**labels.of_stage(plan, stage), **labels.of_run(plan)},
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": spec,
    }


def _container(plan: Plan, stage: Stage, settings: Settings, parts: PodParts) -> Object:
    return {
        "name": CONTAINER,
        "image": settings.image_of(stage),
        "imagePullPolicy": settings.pull_policy,
        "command": ["python3", "-I", "-S", f"{FOLDER}/launch.py"],
        "workingDir": WORK,
        "env": variables.of_stage(plan, stage, parts.launch, parts.added),
        "resources": resources.of_stage(stage.resources),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "bodywork", "mountPath": FOLDER, "readOnly": True},
            {"name": "work", "mountPath": WORK},
            {"name": "cache", "mountPath": CACHE},
            {"name": "shm", "mountPath": SHARED_MEMORY},
        ],
        **parts.container,
    }


def _init(asked: InitContainer, settings: Settings) -> Object:
    mounts = [
        {"name": _volume_name(asked, number), "mountPath": mount.path, "readOnly": True}
        for number, mount in enumerate(asked.mounts)
    ]
    given = [{"secretRef": {"name": secret}} for secret in asked.secrets]
    return {
        "name": asked.name,
        "image": asked.image,
        "imagePullPolicy": settings.pull_policy,
        "command": list(asked.command),
        "workingDir": WORK,
        "env": variables.plain({"HOME": WORK, **asked.variables}),
        **({"envFrom": given} if given else {}),
        "resources": resources.of_tool(asked.memory),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "work", "mountPath": WORK}, *mounts],
    }


def _volumes(source: str, cache: Cache | None) -> list[Object]:
    """Shared memory has no limit but the container's own: 64 MB, the usual one, ends data loaders."""
    return [
        {"name": "bodywork", "secret": {"secretName": source, "defaultMode": READ_ONLY}},
        {"name": "work", "emptyDir": {}},
        {"name": "cache", **cache_volume(cache)},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]


def cache_volume(cache: Cache | None) -> Object:
    """A claim; a folder that the owner of the nodes has made; or a folder that ends with the pod."""
    if cache is not None and cache.claim:
        return {"persistentVolumeClaim": {"claimName": cache.claim}}
    if cache is not None and cache.path:
        return {"hostPath": {"path": cache.path, "type": "Directory"}}
    return {"emptyDir": {}}


def _secret_volumes(init: Sequence[InitContainer]) -> list[Object]:
    return [
        {
            "name": _volume_name(one, number),
            "secret": {"secretName": mount.secret, "defaultMode": READ_ONLY},
        }
        for one in init
        for number, mount in enumerate(one.mounts)
    ]


def _volume_name(container: InitContainer, number: int) -> str:
    return f"{container.name}-{number}"


def _placed(placement: Placement) -> Object:
    said: Object = {}
    if placement.service_account:
        said["serviceAccountName"] = placement.service_account
    if placement.image_pull_secrets:
        said["imagePullSecrets"] = [{"name": name} for name in placement.image_pull_secrets]
    if placement.node_selector:
        said["nodeSelector"] = dict(placement.node_selector)
    if placement.tolerations:
        said["tolerations"] = [_toleration(one) for one in placement.tolerations]
    if placement.priority_class:
        said["priorityClassName"] = placement.priority_class
    return said


def _toleration(one: Toleration) -> Object:
    said = {
        "key": one.key,
        "operator": one.operator,
        "value": one.value,
        "effect": one.effect,
        "tolerationSeconds": one.seconds,
    }
    return {name: value for name, value in said.items() if value is not None}
