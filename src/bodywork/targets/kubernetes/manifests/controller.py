"""The controller of a run inside the cluster: an account that may do just this, and a Job.

Its rights hold in the pipeline's namespace only. They are those of the objects that a run makes,
and of reading what became of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bodywork.run.plan import Plan
from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    LEASE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    SECRET,
    SERVICE,
    Kind,
    Object,
)
from bodywork.targets.kubernetes.manifests import resources
from bodywork.targets.kubernetes.manifests.job import with_run
from bodywork.targets.kubernetes.manifests.security import container_security, pod_security
from bodywork.targets.kubernetes.manifests.variables import plain
from bodywork.targets.kubernetes.settings import Settings

ACCOUNT = "bodywork-controller"
CONTROLLER = "controller"
HOME = "/work"
MEMORY = 512 * 2**20
RETRIES = 10

REPLACED = "TerminatingOrFailed"
"""When a Job makes another pod: as soon as one is told to end. On a node that is lost nobody sees it end, and
the pipeline's lease keeps the next one waiting until it has.
"""

GIVEN_UP = 30
"""Seconds that a controller stays on a node that does not answer, where others stay for 300."""

LOOK = ("get", "list", "watch")
MAKE = ("create", "patch", "delete")

RULES: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
    (JOB, "", (*LOOK, *MAKE)),
    (DEPLOYMENT, "", (*LOOK, *MAKE)),
    (REPLICA_SET, "", LOOK),
    (POD, "", (*LOOK, "delete")),
    (POD, "log", ("get",)),
    (EVENT, "", LOOK),
    (SERVICE, "", (*LOOK, *MAKE)),
    (SECRET, "", (*LOOK, *MAKE)),
    (CONFIG_MAP, "", (*LOOK, *MAKE, "update")),
    (PERSISTENT_VOLUME_CLAIM, "", ("get", "list", "create", "patch")),
    (LEASE, "", ("get", "list", *MAKE, "update")),
    (POD_DISRUPTION_BUDGET, "", ("get", "list", *MAKE)),
    (HORIZONTAL_POD_AUTOSCALER, "", ("get", "list", *MAKE)),
    (HTTP_ROUTE, "", ("get", "list", *MAKE)),
    (INGRESS, "", ("get", "list", *MAKE)),
)
"""Kind, subresource and verbs: what a run does in the namespace of its pipeline, whoever runs it."""


def controller(plan: Plan, settings: Settings, *, variables: Mapping[str, str]) -> list[Object]:
    """Account, Role, RoleBinding and Job, in the order in which they are to be made."""
    return [*account(plan.project, settings), controller_job(plan, settings, variables=variables)]


def account(project: Project, settings: Settings) -> list[Object]:
    """Who controllers of the pipelines of a namespace are, and what they may do."""

    def metadata() -> Object:
        return {"name": ACCOUNT, "namespace": settings.namespace, "labels": labels.of_pipeline(project)}

    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(),
            "automountServiceAccountToken": False,
        },
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata(), "rules": rules()},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": settings.namespace}],
        },
    ]


def rules() -> list[Object]:
    return [
        {
            "apiGroups": [kind.group],
            "resources": [f"{kind.plural}/{below}" if below else kind.plural],
            "verbs": list(verbs),
        }
        for kind, below, verbs in RULES
    ]


def controller_name(plan: Plan) -> str:
    return with_run(CONTROLLER, plan.run)


def controller_job(plan: Plan, settings: Settings, *, variables: Mapping[str, str]) -> Object:
    """Goes on with the run when its pod is lost: the run's record is in the cluster.

    An end with another code than 0 starts it anew, so a run that failed must not be one.
    """
    mine = {**labels.of_run(plan), labels.NAME: CONTROLLER, labels.KIND: CONTROLLER}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": controller_name(plan), "namespace": settings.namespace, "labels": mine},
        "spec": {
            "backoffLimit": RETRIES,
            "podReplacementPolicy": REPLACED,
            "ttlSecondsAfterFinished": settings.keep_finished,
            "template": {"metadata": {"labels": mine}, "spec": _pod_of_run(plan, settings, variables)},
        },
    }


def _pod_of_run(plan: Plan, settings: Settings, variables: Mapping[str, str]) -> Object:
    run = ["--pipeline", plan.pipeline, "--run", plan.run, "--namespace", settings.namespace]
    return controlling_pod(
        ["bodywork", "controller", *run], settings, env=plain(variables_of(settings, variables))
    )


def variables_of(settings: Settings, more: Mapping[str, str]) -> dict[str, str]:
    """What a controller is told of the place that it runs in."""
    images = {"BODYWORK_IMAGE": settings.image, "BODYWORK_STORE_IMAGE": settings.store_image}
    return {"HOME": HOME, **images, **more}


def controlling_pod(
    command: Sequence[str],
    settings: Settings,
    *,
    env: Sequence[Object],
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> Object:
    """A pod of the account; `secrets` are the Secrets that it sees, by folder."""
    mounts = [
        {"name": f"secret-{number}", "mountPath": folder, "readOnly": True}
        for number, folder in enumerate(secrets)
    ]
    volumes = [
        {"name": f"secret-{number}", "secret": {"secretName": name, "defaultMode": 0o440}}
        for number, name in enumerate(secrets.values())
    ]
    return {
        "restartPolicy": "OnFailure",
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": GIVEN_UP}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ],
        "containers": [
            {
                "name": CONTROLLER,
                "image": settings.tool_image,
                "imagePullPolicy": settings.pull_policy,
                "command": list(command),
                "workingDir": HOME,
                "env": list(env),
                "resources": resources.of_tool(MEMORY),
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [{"name": "work", "mountPath": HOME}, *mounts],
            }
        ],
        "volumes": [{"name": "work", "emptyDir": {}}, *volumes],
    }
