"""The services of one pipeline: what is made for one, how one is rolled out, undone and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bodywork.errors import UsageError
from bodywork.run.plan import ObservedService, Plan, PlannedStage
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, POD, Kind, Object, kind_of
from bodywork.targets.kubernetes.launches import Launching
from bodywork.targets.kubernetes.manifests.autoscaler import autoscaler
from bodywork.targets.kubernetes.manifests.budget import disruption_budget
from bodywork.targets.kubernetes.manifests.deployment import deployment
from bodywork.targets.kubernetes.manifests.service import services
from bodywork.targets.kubernetes.pods import nodes
from bodywork.targets.kubernetes.pods.diagnose import condition_of, obstacle
from bodywork.targets.kubernetes.pods.ending import crash, over
from bodywork.targets.kubernetes.pods.leaving import Leaving
from bodywork.targets.kubernetes.pods.pods import Pods
from bodywork.targets.kubernetes.pods.printed import Tail
from bodywork.targets.kubernetes.removal import Removal
from bodywork.targets.kubernetes.services.releases import URL, Releases, complete_of, done, half_done, run_of
from bodywork.targets.kubernetes.services.rollout import Ends, Rollout
from bodywork.targets.kubernetes.services.routes import Routes
from bodywork.targets.kubernetes.settings import Settings

RETIRING = 150
"""Looks, 0.2 s apart, at whether Kubernetes has heard that a release is to have no pods any more."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """`pipeline` is the object name of the project, `settings` say in which namespace its services are.
    `note` is told what takes its time.
    """

    api: Api
    pods: Pods
    settings: Settings
    pipeline: str
    note: Callable[[str], None] = lambda sentence: None

    @property
    def releases(self) -> Releases:
        return Releases(api=self.api, namespace=self.settings.namespace, pipeline=self.pipeline)

    @property
    def removal(self) -> Removal:
        return Removal(api=self.api, namespace=self.settings.namespace, pipeline=self.pipeline)

    async def observe(self) -> dict[str, ObservedService]:
        """The releases that really serve, by stage name."""
        deployments = await self.releases.deployments()
        pods = [] if all(map(_well, deployments)) else await self._pods_now()
        found = await asyncio.gather(*(self._observed(one, pods) for one in deployments))
        return {service.name: service for service in found if service is not None}

    async def check(self, plan: Plan, planned: PlannedStage) -> None:
        """Raises UsageError for a name that an object of somebody else has, or a route that nobody serves."""
        wanted = await self._published(plan, planned)
        names = [(DEPLOYMENT, planned.stage.object_name)]
        names += [(kind_of(one), one["metadata"]["name"]) for one in wanted]
        await asyncio.gather(*(self._check_free(kind, name, planned) for kind, name in names))

    async def begin(
        self,
        plan: Plan,
        planned: PlannedStage,
        source: str,
        ready: Launching,
        inputs: Mapping[str, str],
        tail: Tail,
    ) -> Rollout:
        """Apply what a service consists of; what others use already is changed only when it is complete."""
        name, namespace = planned.stage.object_name, self.settings.namespace
        before = await self.api.get(DEPLOYMENT, name, namespace)
        replicas = None if before is None else before["spec"].get("replicas", 1)
        published = await self._published(plan, planned)
        new = [one for one in published if before is None or not await self._there(one)]
        wanted = deployment(
            plan,
            planned,
            self.settings,
            launch=ready.launch,
            source=source,
            inputs=inputs,
            init=ready.init,
            current=replicas or None,
        )

        async def finish() -> None:
            await asyncio.gather(*(self.api.apply(one) for one in published if one not in new))
            route = next((one for one in published if one["kind"] in ("HTTPRoute", "Ingress")), None)
            url = await Routes(api=self.api, settings=self.settings).url(route)
            await self.releases.note_complete(name, plan.run, url)
            await self._drop_unpublished(planned, published)

        async def undo() -> None:
            await self._undo(name, plan.run, replicas)
            await asyncio.gather(*(self._delete(one) for one in new))

        try:
            await asyncio.gather(*(self.api.apply(one) for one in (*new, wanted)))
        except BaseException:
            await asyncio.shield(undo())
            raise
        ends = Ends(finish=finish, undo=undo)
        return Rollout(self.api, self.pods, plan, planned, ends, tail, namespace=namespace)

    async def undo_unfinished(self, run: str) -> None:
        """Undo the rollouts that an interrupted command has left half-done."""
        left = [one for one in await self.releases.deployments() if run_of(one) == run and half_done(one)]
        await asyncio.gather(*(self._undo(one["metadata"]["name"], run, None) for one in left))

    async def remove(self, names: frozenset[str]) -> None:
        """Delete services, by stage name."""
        observed = await self.releases.deployments()
        gone = [one["metadata"]["name"] for one in observed if _stage_name(one) in names]
        await asyncio.gather(*(self._removed(name) for name in gone))

    async def _removed(self, name: str) -> None:
        await self.removal.service(name)
        await self._until_gone(name, None)

    async def _undo(self, name: str, run: str, replicas: int | None) -> None:
        """Put back the release before that of `run`; returns when no pod of that one runs any more."""
        there = await self.api.get(DEPLOYMENT, name, self.settings.namespace)
        if there is None or run_of(there) != run or complete_of(there) == run:
            return
        if not await self.releases.go_back(there, replicas=replicas):
            await self.removal.service(name)
        await self._until_gone(name, run)

    async def _until_gone(self, name: str, run: str | None) -> None:
        """Returns when the pods of a service, or of one release of it, have ended.

        Those on a lost node, which nobody sees end, are left to Kubernetes.
        """
        for _ in range(RETIRING):  # until then, one that is still to be made would be overlooked
            if await self.releases.retired(name, run):
                break
            await asyncio.sleep(0.2)
        group = await self.pods.of(labels.STAGE, name)
        leaving = Leaving(self.api, self.note)
        while left := [pod for pod in group.pods.values() if _runs_for(pod, run)]:
            if len(lost := await leaving.lost(left)) == len(left):
                for sentence in nodes.unseen(lost):
                    self.note(sentence)
                return
            await group.changed(1.0)

    async def _published(self, plan: Plan, planned: PlannedStage) -> list[Object]:
        """All that a service consists of besides its Deployment."""
        found = [
            *services(plan, planned, self.settings),
            disruption_budget(plan, planned, self.settings),
            autoscaler(plan, planned, self.settings),
            await Routes(api=self.api, settings=self.settings).route(plan, planned),
        ]
        return [one for one in found if one is not None]

    async def _drop_unpublished(self, planned: PlannedStage, published: list[Object]) -> None:
        """Delete what an earlier release had and this one does not: a budget, a route, a host name."""
        kept = {(one["kind"], one["metadata"]["name"]) for one in published}
        for one in await self.removal.objects_of(planned.stage.object_name):
            if one["kind"] != "Deployment" and (one["kind"], one["metadata"]["name"]) not in kept:
                await self._delete(one)

    async def _there(self, wanted: Object) -> bool:
        metadata = wanted["metadata"]
        return await self.api.get(kind_of(wanted), metadata["name"], metadata["namespace"]) is not None

    async def _delete(self, obj: Object) -> None:
        await self.api.delete(kind_of(obj), obj["metadata"]["name"], self.settings.namespace)

    async def _check_free(self, kind: Kind, name: str, planned: PlannedStage) -> None:
        found = await self.api.get(kind, name, self.settings.namespace)
        if found is None or labels.is_ours(found, self.pipeline):
            return
        whose = found["metadata"].get("labels") or {}
        owner = f"pipeline {whose[labels.PIPELINE]}" if labels.is_ours(found) else _owner(whose)
        raise UsageError(
            f"there is a {kind.kind} {name} in namespace {self.settings.namespace} that belongs to {owner}",
            hint=f"rename the stage {planned.stage.name}, or deploy into another namespace with --namespace",
        )

    async def _pods_now(self) -> list[Object]:
        chosen = {labels.PIPELINE: self.pipeline, labels.KIND: "service"}
        return await self.api.list(POD, self.settings.namespace, labels=chosen)

    async def _observed(self, one: Object, pods: list[Object]) -> ObservedService | None:
        service = await self.releases.serving(one)
        if service is None:
            return None
        port = one["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
        inside = f"http://{one['metadata']['name']}.{self.settings.namespace}.svc:{port}"
        url = (one["metadata"].get("annotations") or {}).get(URL) or inside
        mine = [
            pod
            for pod in pods
            if pod["metadata"]["labels"].get(labels.STAGE) == one["metadata"]["name"]
            and pod["metadata"]["labels"].get(labels.RUN) == service.release
        ]
        return replace(service, url=url, reason=_reason(mine))


def _runs_for(pod: Object, run: str | None) -> bool:
    """Whether it is a pod of a service that has not ended, of the release of `run` (None: of any)."""
    known = pod["metadata"]["labels"]
    return known.get(labels.KIND) == "service" and run in (None, known.get(labels.RUN)) and not over(pod)


def _well(one: Object) -> bool:
    return done(one)


def _reason(pods: list[Object]) -> str:
    """What keeps the first pod that is not ready from being so."""
    for pod in pods:
        if (condition_of(pod, "Ready") or {}).get("status") == "True":
            continue
        if found := obstacle(pod):
            end = crash(pod)
            return f"it {end.ended.reason}, and is started again" if end else found.reason
        if end := crash(pod):
            return f"it {end.ended.reason}, and was started again"
    return ""


def _owner(known: Mapping[str, str]) -> str:
    by = known.get(labels.MANAGED_BY) or known.get(labels.PART_OF)
    return by or "somebody else: bodywork did not make it"


def _stage_name(one: Object) -> str:
    facts = one["spec"]["template"]["metadata"].get("annotations") or {}
    return str(facts.get("bodywork/stage-name", ""))
