"""A schedule and its CronJob: from the one to the objects, and back again."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from bodywork.app.cluster.git_key import files_for_pods
from bodywork.app.cluster.times import unfired
from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.errors import UsageError
from bodywork.git.location import parse
from bodywork.schedule import told
from bodywork.schedule.book import Kept, same_times
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import State
from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests import cron_job
from bodywork.targets.kubernetes.manifests.controller import account
from bodywork.targets.kubernetes.manifests.source import CONTENT
from bodywork.targets.kubernetes.records import firings
from bodywork.targets.kubernetes.secrets.git_credential import GIT, credential_of
from bodywork.targets.kubernetes.services.routes import Routes
from bodywork.targets.kubernetes.settings import Settings


async def credential(
    parts: Parts, definition: Definition, project: Project, access: GitAccess, namespace: str
) -> Object | None:
    """The Secret that opens the repository to the pods of a schedule; None: it is open to all.

    Raises UsageError where nothing was named that opens it, or a key that pods could not use.
    """
    files = await files_for_pods(parts, definition.repository, access)
    if files is not None:
        name = f"{cron_job.SCHEDULE}-{definition.name}-git"
        marks = {**cron_job.marks(project, definition.name), CONTENT: GIT}
        return credential_of(name, namespace, marks, files)
    if parse(definition.repository).scheme == "ssh":
        raise UsageError(
            f"pods have nothing that opens {definition.repository}",
            hint="name a key that may read it: --ssh-key-file FILE or --git-secret NAME",
        )
    return None


async def objects(
    api: Api,
    definition: Definition,
    project: Project,
    settings: Settings,
    *,
    secret: Object | None,
    before: Kept | None,
) -> list[Object]:
    """All that makes a schedule, in the order in which it is to be made; `before` is what it was."""
    same = before is not None and same_times(before.definition, definition)
    times = cron_job.Times(
        name=definition.name,
        document=definition.encode(),
        rule=definition.rule,
        since=before.last if before is not None and same else time.time(),
        paused=before.paused if before is not None else None,
        credential=str(secret["metadata"]["name"]) if secret is not None else None,
        gateway=await Routes(api=api, settings=settings).gateway(project),
    )
    made = cron_job.cron_job(project, times, settings)
    return [*([secret] if secret is not None else []), *account(project, settings), made]


def is_schedule(one: Object, project: Project) -> bool:
    """Whether a CronJob is a schedule of this project."""
    return (
        labels.is_ours(one, project.object_name)
        and one["metadata"]["labels"].get(labels.KIND) == cron_job.SCHEDULE
    )


def kept_of(one: Object) -> Kept:
    """The schedule that a CronJob is."""
    metadata = one["metadata"]
    marks = metadata.get("annotations") or {}
    made = datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()
    paused = marks.get(cron_job.PAUSED)
    return Kept(
        definition=Definition.decode(cron_job.document_of(one)),
        made=made,
        paused=float(paused) if paused else None,
        last=float(marks.get(cron_job.SINCE) or made),
    )


def while_paused(kept: Kept) -> dict[str, str]:
    """What is told of the times that came while it was paused, as documents by key."""
    timing = kept.definition.timing
    if timing is None or kept.paused is None:
        return {}
    until, since = datetime.now(UTC), datetime.fromtimestamp(kept.paused, UTC)
    rows = []
    for due in timing.cron.after(since, timing.zone):
        if due > until:
            break
        reason = "the schedule was paused"
        rows.append(unfired(kept, due.timestamp(), State.MISSED, reason, until.timestamp()))
    return {told.key_of(row): told.encode(row) for row in rows[-firings.MOST :]}
