"""Runs that were left to the cluster: begun there, seen before they hold the lease, and withdrawn."""

from __future__ import annotations

from bodywork.app.site import Holder
from bodywork.run.plan import Plan
from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.batch.jobs import complete, failed
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import JOB, Object
from bodywork.targets.kubernetes.manifests.controller import CONTROLLER, controller
from bodywork.targets.kubernetes.services.routes import Routes
from bodywork.targets.kubernetes.settings import Settings


async def begin(api: Api, plan: Plan, settings: Settings) -> None:
    """Make the Job that carries a recorded run out, with the account that it does so as."""
    # It may not look beyond its namespace: it is told what lies there.
    gateway = await Routes(api=api, settings=settings).gateway(plan.project)
    for one in controller(plan, settings, variables={"BODYWORK_GATEWAY": gateway} if gateway else {}):
        await api.apply(one)


async def starting(api: Api, project: Project, namespace: str) -> Holder | None:
    """A run that counts as in progress from the moment on that its Job is there."""
    for one in await _controllers(api, project, namespace):
        metadata = one["metadata"]
        return Holder(run=metadata["labels"][labels.RUN], who=f"Job {metadata['name']}, which starts")
    return None


async def withdraw(api: Api, project: Project, namespace: str) -> None:
    """Delete Jobs that nobody has begun to carry out, so that nobody will."""
    for one in await _controllers(api, project, namespace):
        metadata = one["metadata"]
        await api.delete(JOB, metadata["name"], metadata["namespace"], uid=metadata["uid"])


async def _controllers(api: Api, project: Project, namespace: str) -> list[Object]:
    """The Jobs of detached runs that have not ended."""
    chosen = {labels.PIPELINE: project.object_name, labels.KIND: CONTROLLER}
    found = await api.list(JOB, namespace, labels=chosen)
    return [one for one in found if not complete(one) and not failed(one)]
