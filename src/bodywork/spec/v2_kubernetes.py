"""The keys `kubernetes:` of the native form, as they are written: of a project, and of a stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bodywork.spec.form import Form
from bodywork.spec.values import Duration, Name, SecretName
from bodywork.spec.values_kubernetes import (
    AnnotationKey,
    Effect,
    FolderPath,
    GatewayName,
    LabelKey,
    LabelValue,
    ObjectName,
    Operator,
    Quoted,
)


class TolerationForm(Form):
    """A taint of nodes that pods put up with, in the words of Kubernetes."""

    key: LabelKey | None = Field(None, description="The taint's key. Without it: all taints.")
    operator: Operator = Field(
        "Equal", description="`Equal`: the taint has this value. `Exists`: whatever value it has."
    )
    value: LabelValue | None = Field(None, description="The taint's value.")
    effect: Effect | None = Field(
        None, description="`NoSchedule`, `PreferNoSchedule` or `NoExecute`. Without it: all of them."
    )
    tolerationSeconds: Annotated[int, Field(ge=0, le=10**9)] | None = Field(  # noqa: N815
        None, description="How long a pod stays on a node that gets the taint; for `NoExecute` only."
    )


class PlacementForm(Form):
    """Where a cluster puts the pods of a stage, and as whom they run. It has no effect on `local`."""

    service_account: ObjectName | None = Field(
        None,
        description="The account that pods run as. They get no token of the cluster, whatever it is; "
        "clouds give it identities of theirs.",
    )
    image_pull_secrets: list[SecretName] | None = Field(
        None, description="Secrets with which nodes pull images."
    )
    node_selector: dict[LabelKey, LabelValue] | None = Field(
        None, description="Labels that a node must have."
    )
    tolerations: list[TolerationForm] | None = Field(
        None, description="Taints of nodes that do not keep pods away."
    )
    annotations: dict[AnnotationKey, Quoted] | None = Field(None, description="Annotations of pods.")
    priority_class: ObjectName | None = Field(None, description="The PriorityClass of pods.")


class CacheForm(Form):
    """Where pods keep packages for those that come after them: one of the two."""

    claim: ObjectName | None = Field(
        None, description="A PersistentVolumeClaim of the namespace that all nodes can write to at once."
    )
    path: FolderPath | None = Field(
        None,
        description="A folder that exists on each node and that user 10001 may write to. Pod Security "
        "`baseline` and `restricted` forbid such volumes, so the namespace must allow them.",
    )


class KubernetesForm(PlacementForm):
    """What a project asks of a cluster, and what its stages do unless they say otherwise."""

    namespace: Name | None = Field(
        None, description="The namespace to deploy to. Without it: one with the pipeline's name."
    )
    cache: CacheForm | None = Field(
        None, description="Where packages are kept between pods. Without it: each pod installs its own."
    )
    gateway: GatewayName | None = Field(
        None,
        description="The Gateway through which routes are published, as NAME or NAMESPACE/NAME. Without it: "
        "the only one of the cluster that takes routes of the namespace.",
    )
    ingress_class: ObjectName | None = Field(
        None, description="The IngressClass for routes on a cluster without the Gateway API."
    )
    prepare_timeout: Duration | None = Field(
        None,
        description="How long a pod may take to get its files and packages before the module starts. "
        "Without it: 30m.",
    )
