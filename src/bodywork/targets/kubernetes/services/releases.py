"""Which release of a service really serves, and going back to it: out of its Deployment and ReplicaSets.

A Deployment keeps a ReplicaSet of each release, with all that its pods were made of. The annotation
`bodywork/complete` names the run whose release has been rolled out wholly, so that any command can tell a
half-done rollout from a done one, and knows what to go back to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bodywork.run.plan import ObservedService
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, REPLICA_SET, Object
from bodywork.targets.kubernetes.manifests.deployment import released

COMPLETE = f"{labels.PREFIX}complete"
URL = f"{labels.PREFIX}url"
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


@dataclass(frozen=True, kw_only=True)
class Releases:
    """The releases of the services of one pipeline."""

    api: Api
    namespace: str
    pipeline: str

    async def deployments(self) -> list[Object]:
        chosen = {labels.PIPELINE: self.pipeline, labels.KIND: "service"}
        found = await self.api.list(DEPLOYMENT, self.namespace, labels=chosen)
        return [one for one in found if labels.is_ours(one, self.pipeline)]

    async def serving(self, deployment: Object) -> ObservedService | None:
        """The release that answers requests; None for a Deployment that bodywork did not make."""
        current = released(deployment)
        if current is None or not half_done(deployment):
            return current
        previous = serving_before(deployment, await self.replica_sets(deployment))
        if previous is None or not (previous.get("status") or {}).get("readyReplicas"):
            return current
        return released(previous)

    async def replica_sets(self, deployment: Object) -> list[Object]:
        """Its own, the newest first."""
        chosen = deployment["spec"]["selector"]["matchLabels"]
        owner = deployment["metadata"]["uid"]
        found = [
            one
            for one in await self.api.list(REPLICA_SET, self.namespace, labels=chosen)
            if any(by["uid"] == owner for by in one["metadata"].get("ownerReferences") or ())
        ]
        return sorted(found, key=_revision, reverse=True)

    async def go_back(self, deployment: Object, *, replicas: int | None) -> bool:
        """Put back the template of the release that serves; False: no release was ever complete.

        `replicas` is how many it had; None: as many as there are now.
        """
        previous = serving_before(deployment, await self.replica_sets(deployment))
        if previous is None:
            return False
        await self.api.apply(_with_template(deployment, previous, replicas))
        return True

    async def retired(self, name: str, run: str | None) -> bool:
        """Whether no more pods will be made for the release of a run of a service (None: for any)."""
        there = await self.api.get(DEPLOYMENT, name, self.namespace)
        if there is not None and not _seen(there):
            return False
        chosen = {labels.STAGE: name} if run is None else {labels.STAGE: name, labels.RUN: run}
        sets = await self.api.list(REPLICA_SET, self.namespace, labels=chosen)
        return all(_seen(one) and not one["spec"].get("replicas") for one in sets)

    async def note_complete(self, name: str, run: str, url: str) -> None:
        """Write down that the release of a run has been rolled out wholly."""
        change = {"metadata": {"annotations": {COMPLETE: run, URL: url}}}
        await self.api.patch(DEPLOYMENT, name, self.namespace, change)


def run_of(obj: Object) -> str:
    """The run whose release a Deployment or ReplicaSet was made for."""
    facts = obj["spec"]["template"]["metadata"].get("annotations") or {}
    return str(facts.get(labels.RUN, ""))


def complete_of(deployment: Object) -> str:
    return str((deployment["metadata"].get("annotations") or {}).get(COMPLETE, ""))


def half_done(deployment: Object) -> bool:
    """Whether its newest release has never been rolled out wholly."""
    if complete_of(deployment) == run_of(deployment):
        return False
    return not done(deployment)


def done(deployment: Object) -> bool:
    """Whether all pods are of the newest release, and ready."""
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    return bool(
        _seen(deployment)
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def _seen(obj: Object) -> bool:
    """Whether its controller has taken in the newest change of it."""
    return bool(
        (obj.get("status") or {}).get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
    )


def serving_before(deployment: Object, replica_sets: Sequence[Object]) -> Object | None:
    """The ReplicaSet of the release that was complete; where none is named, one that has ready pods."""
    others = [one for one in replica_sets if run_of(one) != run_of(deployment)]
    named = complete_of(deployment)
    for one in others:
        if named and run_of(one) == named:
            return one
    for one in others:
        if (one.get("status") or {}).get("readyReplicas"):
            return one
    return None


def _with_template(deployment: Object, replica_set: Object, replicas: int | None) -> Object:
    """The Deployment as it is, with the pods of another release."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    template = replica_set["spec"]["template"]
    kept = {name: value for name, value in template["metadata"]["labels"].items() if name != HASH}
    wanted = spec.get("replicas", 1) if replicas is None else replicas
    same = ("revisionHistoryLimit", "progressDeadlineSeconds", "strategy", "selector")
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {
                **metadata["labels"],
                **{k: kept[k] for k in (labels.RUN, labels.COMMIT) if k in kept},
            },
        },
        "spec": {
            **{name: spec[name] for name in same if name in spec},
            "replicas": wanted,
            "template": {
                "metadata": {
                    "labels": kept,
                    "annotations": template["metadata"].get("annotations") or {},
                },
                "spec": template["spec"],
            },
        },
    }


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, "0"))
