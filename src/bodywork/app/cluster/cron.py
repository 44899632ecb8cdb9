"""A schedule and its CronJobs: from the one to the objects, and back again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bodywork.app.cluster.git_key import files_for_pods
from bodywork.app.cluster.times import unfired
from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.errors import UsageError
from bodywork.git.location import parse
from bodywork.schedule import told
from bodywork.schedule.book import Kept, looked_at, same_times
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import State
from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import CRON_JOB, Object
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
    since: float,
) -> list[Object]:
    """All that makes a schedule but for its ConfigMap, in the order in which it is to be made.

    `before` is what it was; its times count from `since` on.
    """
    times = cron_job.Times(
        name=definition.name,
        document=definition.encode(),
        rule=definition.rule,
        since=since,
        paused=before.paused if before is not None else None,
        credential=str(secret["metadata"]["name"]) if secret is not None else None,
        gateway=await Routes(api=api, settings=settings).gateway(project),
    )
    made = cron_job.cron_jobs(project, times, settings)
    return [*([secret] if secret is not None else []), *account(project, settings), *made]


def in_force(before: Kept | None, after: Definition) -> float:
    """Since when a schedule has its times, in seconds, if it gets them now; `before` is what it was."""
    same = before is not None and same_times(before.definition, after)
    return before.last if before is not None and same else time.time()


async def count_from_birth(api: Api, cron_jobs: Iterable[Object]) -> None:
    """A new CronJob has no times before the second in which it was made: nor are there any to tell of."""
    for one in cron_jobs:
        metadata = one["metadata"]
        born = _at(metadata["creationTimestamp"])
        if born > float(metadata["annotations"][cron_job.SINCE]):
            change = {"metadata": {"annotations": {cron_job.SINCE: f"{born:.3f}"}}}
            await api.patch(CRON_JOB, metadata["name"], metadata["namespace"], change)


def unseen(before: Kept | None, after: Definition, tip: str) -> str | None:
    """What a branch that is at `tip` now is to be taken as seen at; None: what it was seen at last.

    What was pushed before anybody looked at the branch is not run.
    """
    return None if before is not None and looked_at(before.definition, after) else tip


def chosen(*names: str) -> str:
    """The selector of all that is of schedules, or of those of some names."""
    one_of = [f"{labels.KIND} in ({', '.join(cron_job.KINDS)})"]
    one_of += [f"{labels.NAME} in ({', '.join(names)})"] if names else []
    return ", ".join([f"{labels.MANAGED_BY}={labels.MANAGER}", *one_of])


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A schedule as it is in the cluster: its CronJobs, that of its times first; and its ConfigMap, where
    that was asked for.
    """

    cron_jobs: tuple[Object, ...]
    book: Object | None = None

    @property
    def name(self) -> str:
        return str(self.cron_jobs[0]["metadata"]["labels"][labels.NAME])

    @property
    def namespace(self) -> str:
        return str(self.cron_jobs[0]["metadata"]["namespace"])

    @property
    def looks(self) -> bool:
        return any(_kind(one) == cron_job.PUSH for one in self.cron_jobs)

    @property
    def kept(self) -> Kept:
        metadata = self.cron_jobs[0]["metadata"]
        marks = metadata.get("annotations") or {}
        made = min(_at(one["metadata"]["creationTimestamp"]) for one in self.cron_jobs)
        paused = marks.get(cron_job.PAUSED)
        return Kept(
            definition=Definition.decode(cron_job.document_of(self.cron_jobs[0])),
            made=made,
            paused=float(paused) if paused else None,
            last=float(marks.get(cron_job.SINCE) or made),
            tip=firings.said_of(self.book, firings.TIP) if self.book else "",
            owed=firings.said_of(self.book, firings.OWED) if self.book else "",
            trouble=firings.said_of(self.book, firings.TROUBLE) if self.book else "",
            looked=self._looked,
        )

    @property
    def _looked(self) -> float | None:
        """The end of the last Job that looked and was not lost."""
        ends = [
            _at(end)
            for one in self.cron_jobs
            if _kind(one) == cron_job.PUSH and (end := (one.get("status") or {}).get("lastSuccessfulTime"))
        ]
        return max(ends, default=None)


def placed(cron_jobs: Iterable[Object]) -> list[Placed]:
    """The schedules that CronJobs make up, by name."""
    found: dict[tuple[str, str], list[Object]] = {}
    for one in cron_jobs:
        metadata = one["metadata"]
        found.setdefault((metadata["labels"][labels.NAME], metadata["namespace"]), []).append(one)
    return [
        Placed(cron_jobs=tuple(sorted(ones, key=lambda one: cron_job.KINDS.index(_kind(one)))))
        for _, ones in sorted(found.items())
    ]


async def with_book(api: Api, one: Placed) -> Placed:
    """What is told of pushes is in the ConfigMap; of the others, nobody needs it."""
    return replace(one, book=await firings.book(api, one.name, one.namespace)) if one.looks else one


async def remove_others(api: Api, was: Iterable[Object], made: Iterable[Object]) -> None:
    """Delete the CronJobs that a schedule does not have any more; a run in progress goes on."""
    names = {one["metadata"]["name"] for one in made if one["kind"] == CRON_JOB.kind}
    for one in was:
        name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
        if name not in names:
            runs = (one.get("status") or {}).get("active")
            await api.delete(CRON_JOB, name, namespace, propagation="Orphan" if runs else "Background")


def refuse_taken(
    there: Iterable[Object | None], definition: Definition, project: Project, namespace: str
) -> None:
    """Raises UsageError when a CronJob that has a name of the schedule's is not its own."""
    for one in there:
        if one is None or (
            labels.is_ours(one, project.object_name)
            and one["metadata"]["labels"].get(labels.KIND) in cron_job.KINDS
            and one["metadata"]["labels"].get(labels.NAME) == definition.name
        ):
            continue
        raise UsageError(
            f"there is a CronJob {one['metadata']['name']} in namespace {namespace} already, "
            "which is somebody else's",
            hint="choose another name: --name NAME",
        )


def _kind(one: Object) -> str:
    return str(one["metadata"]["labels"][labels.KIND])


def _at(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


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
