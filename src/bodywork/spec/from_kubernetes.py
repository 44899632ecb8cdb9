"""`kubernetes:` of the native form -> the model, and what can be wrong in it beyond single values."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, cast

from bodywork.spec.model import Cache, Cluster, Placement, Toleration
from bodywork.spec.report import Report
from bodywork.spec.tree import Path
from bodywork.spec.v2_kubernetes import CacheForm, KubernetesForm, PlacementForm, TolerationForm

KEY = "kubernetes"


def cluster(form: KubernetesForm | None, report: Report) -> Cluster:
    """What the project asks of a cluster as a whole."""
    if form is None:
        return Cluster()
    return Cluster(
        namespace=form.namespace,
        cache=_cache(form.cache, report),
        gateway=form.gateway,
        ingress_class=form.ingress_class,
        prepare_timeout=form.prepare_timeout,
    )


def placement(project: PlacementForm | None, stage: PlacementForm | None) -> Placement:
    """Of each key what the stage says, else what the project says."""
    said = {
        key: value
        for form in (project, stage)
        for key in PlacementForm.model_fields
        if (value := getattr(form, key, None)) is not None
    }
    return Placement(
        service_account=said.get("service_account"),
        image_pull_secrets=tuple(said.get("image_pull_secrets", ())),
        node_selector=MappingProxyType(dict(said.get("node_selector", {}))),
        tolerations=tuple(_toleration(one) for one in said.get("tolerations", ())),
        annotations=MappingProxyType(dict(said.get("annotations", {}))),
        priority_class=said.get("priority_class"),
    )


def check_placement(form: PlacementForm | None, path: Path, report: Report) -> None:
    """The rules of Kubernetes for tolerations; `path` is that of the form."""
    for number, one in enumerate(form.tolerations or () if form else ()):
        where = (*path, "tolerations", number)
        if one.operator == "Exists" and one.value:
            report.error((*where, "value"), "`operator: Exists` takes no value: remove it", key=True)
        if one.operator == "Equal" and not one.key:
            report.error(where, "needs a `key`, or `operator: Exists` for all taints")
        if one.tolerationSeconds is not None and one.effect != "NoExecute":
            report.error((*where, "tolerationSeconds"), "is for `effect: NoExecute` only", key=True)


def _cache(form: CacheForm | None, report: Report) -> Cache | None:
    if form is None:
        return None
    if (form.claim is None) == (form.path is None) and not report.broken((KEY, "cache")):
        wrong = "write either `claim` or `path`" + (", not both" if form.claim else "")
        if not any(report.broken((KEY, "cache", key)) for key in CacheForm.model_fields):
            report.error((KEY, "cache"), wrong, key=True)
    return Cache(claim=form.claim, path=form.path)


def _toleration(form: TolerationForm) -> Toleration:
    return Toleration(
        key=form.key,
        operator=cast(Literal["Equal", "Exists"], form.operator),
        value=form.value,
        effect=form.effect,
        seconds=form.tolerationSeconds,
    )
