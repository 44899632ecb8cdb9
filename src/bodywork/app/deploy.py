"""Deploy a project: from what the user named to a run that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from bodywork.app.checkout import Checkout, check_out, index_date, lock_environments
from bodywork.app.execution import Outcome, Watcher, carry_out, new_run, record_of
from bodywork.app.git_access import GitAccess, git_for
from bodywork.app.parts import Parts
from bodywork.app.past import left_by, newest_artifacts
from bodywork.app.site import Site
from bodywork.app.sites import open_site
from bodywork.app.where import LOCAL, Where
from bodywork.environment import Lock
from bodywork.errors import UsageError
from bodywork.run.plan import ObservedService, Plan, make_plan
from bodywork.run.states import RunState
from bodywork.spec.model import Project
from bodywork.targets.base import Target

SILENCE = 1.0
"""Seconds of work after which something is said about it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked to deploy, and how.

    `scheduled_as` is the id that a schedule has given the run; not `signals`: they mean something else
    than to cancel it; `failed_before`: the schedule's time before could not even begin a run.
    """

    repository: str = "."
    ref: str | None = None
    file: str | None = None
    where: Where = field(default_factory=Where)
    only: frozenset[str] | None = None
    fail_fast: bool = False
    as_of: datetime | None = None
    wait: bool = False
    offline: bool = False
    pass_env: frozenset[str] = frozenset()
    access: GitAccess = field(default_factory=GitAccess)
    detach: bool = False
    date: date | None = None
    scheduled_as: str | None = None
    failed_before: bool = False
    signals: bool = True


def plan(parts: Parts, request: Request, watcher: Watcher) -> Plan:
    """What `deploy` would do with the same request. Changes nothing but caches."""
    checkout = check_out_request(parts, request, watcher)

    async def work() -> Plan:
        async with open_site(parts, request.where, checkout.project) as site:
            ground = await ground_of(parts, site, request, checkout, watcher)
            planned = await plan_on(site, request, ground, new_run())
            for sentence in await site.review(planned):
                watcher.warning(sentence)
            return planned

    return asyncio.run(work())


def unbuilt(parts: Parts, planned: Plan) -> frozenset[str]:
    """The environments of a plan that are yet to be built; each is looked for once."""
    wanted = {stage.environment for stage in planned.all_stages}
    return frozenset(digest for digest in wanted if not parts.environments.built(digest))


def deploy(parts: Parts, request: Request, watcher: Watcher) -> Outcome:
    """Run a project's workflow at one commit.

    Raises the errors of `check_out`, BusyError when the pipeline has a run in progress, and
    ResolutionError before anything has run. A run of chosen stages (`only`) makes no release.
    """
    checkout = check_out_request(parts, request, watcher)
    run, pipeline = request.scheduled_as or new_run(), checkout.project.name

    async def work() -> Outcome:
        cancel = asyncio.Event()
        async with (
            site_for(parts, request, checkout.project) as site,
            site.hold(pipeline, run, wait=request.wait, cancel=cancel),
        ):
            ground = await ground_of(parts, site, request, checkout, watcher)
            planned = await plan_on(site, request, ground, run)
            target = await site.target(pipeline, tree=ground.tree, pass_env=request.pass_env)
            await refuse_in_vain(site, planned)
            await clean_up_after_others(site, target, pipeline)
            say_what_is_built(parts, site, planned, watcher)
            watcher.planned(planned)
            await site.records.begin(
                record_of(planned, "schedule" if request.scheduled_as else "deploy"), planned
            )
            if request.detach:
                return await _leave(site, target, planned)
            return await carry_out(
                site,
                planned,
                target,
                watcher,
                cancel=cancel,
                signals=request.signals,
                fail_fast=request.fail_fast,
                release=request.only is None,
                failed_before=request.failed_before,
            )

    outcome = asyncio.run(work())
    parts.trees.trim()
    return outcome


@asynccontextmanager
async def site_for(parts: Parts, request: Request, project: Project) -> AsyncIterator[Site]:
    """The site that a request names. Raises UsageError for options that it does not have."""
    async with open_site(parts, request.where, project, access=request.access) as site:
        site.check_options(detach=request.detach, pass_env=request.pass_env)
        yield site


async def _leave(site: Site, target: Target, planned: Plan) -> Outcome:
    """Leave the run to the target, with everything there that only this machine has."""
    try:
        await asyncio.gather(*(target.prepare(planned, one) for one in planned.all_stages))
        await site.detach(planned)
    finally:
        await target.close(planned)
    return Outcome(pipeline=planned.pipeline, run=planned.run, state=RunState.RUNNING, reason="")


def say_what_is_built(parts: Parts, site: Site, planned: Plan, watcher: Watcher) -> None:
    """Environments are built on this machine for its own target alone."""
    if site.name == LOCAL and (missing := unbuilt(parts, planned)):
        what = "1 environment" if len(missing) == 1 else f"{len(missing)} environments"
        watcher.note(f"building {what}; later runs will find what is built now")


def check_out_request(parts: Parts, request: Request, watcher: Watcher) -> Checkout:
    """The project that a request names; says which commit that is. Raises the errors of `check_out`."""
    git = git_for(parts, request.access, request.repository)
    checkout = check_out(git, request.repository, ref=request.ref, file=request.file, offline=request.offline)
    for warning in checkout.warnings:
        watcher.warning(str(warning))
    commit = checkout.commit
    if commit.snapshot:
        files = f"{commit.changes} changed file{'s' if commit.changes != 1 else ''}"
        watcher.note(f"uncommitted work ({files}) is taken as snapshot commit {commit.commit[:12]}")
    else:
        watcher.note(f"{commit.repository} at {commit.ref} is commit {commit.commit[:12]}")
    return checkout


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all runs of a commit stand on: `tree` holds its files, `environments` are digests by stage."""

    checkout: Checkout
    tree: Path
    environments: Mapping[str, str]


async def ground_of(
    parts: Parts, site: Site, request: Request, checkout: Checkout, watcher: Watcher
) -> Ground:
    """Check the project, lay out its files and lock its environments."""
    project = checkout.project
    _check_only(project.steps, request.only)
    for sentence in await site.check(project, request.only):
        watcher.note(sentence)
    tree = await asyncio.to_thread(parts.trees.ensure, checkout.commit.commit, checkout.commit.export)
    locks = await lock_all(parts, request, checkout, tree, watcher, await site.platform())
    return Ground(
        checkout=checkout, tree=tree, environments={name: lock.digest for name, lock in locks.items()}
    )


async def plan_on(
    site: Site,
    request: Request,
    ground: Ground,
    run: str,
    *,
    observed: Mapping[str, ObservedService] | None = None,
) -> Plan:
    """The plan of one run, for the request's day. `observed` is what the target has (None: look)."""
    project, day = ground.checkout.project, f"{request.date}" if request.date else None
    known = await _made_before(site, project, request.only, day) if request.only else {}
    if observed is None:
        observed = await (await site.target(project.name)).observe(project.name)
    return make_plan(
        run=run,
        target=site.name,
        project=project,
        source=ground.checkout.source,
        environments=ground.environments,
        observed=observed,
        only=request.only,
        known=known,
        outdated=await site.outdated(project, observed),
        date=day,
    )


async def _made_before(
    site: Site, project: Project, only: frozenset[str], day: str | None
) -> dict[tuple[str, str], str]:
    """Artifacts that chosen stages may read of earlier runs; nothing is looked up if they read none."""
    read = {wanted.stage for stage in project.stages if stage.name in only for wanted in stage.inputs}
    return await newest_artifacts(site.records, project.name, site.name, day) if read - only else {}


async def lock_all(
    parts: Parts,
    request: Request,
    checkout: Checkout,
    tree: Path,
    watcher: Watcher,
    platform: str | None,
) -> dict[str, Lock]:
    """The locks of all stages for a platform (None: this machine's).

    Says which packages those are, and what is odd about them.
    """
    index = await asyncio.to_thread(index_date, checkout, request.as_of, tree=tree)
    if index.warning:
        watcher.warning(index.warning)
    if index.note:
        watcher.note(index.note)
    locking = asyncio.ensure_future(
        lock_environments(
            parts.environments,
            checkout.project,
            tree=tree,
            folder=checkout.source.folder,
            as_of=index.at,
            platform=platform,
        )
    )
    if not (await asyncio.wait({locking}, timeout=SILENCE))[0]:
        watcher.note(f"resolving packages as of {f'{index.at:%Y-%m-%d}' if index.at else 'now'}")
    locks = await locking
    for text in sorted({warning for lock in locks.values() for warning in lock.warnings}):
        watcher.warning(text)
    return locks


async def refuse_in_vain(site: Site, planned: Plan) -> None:
    """Raises UsageError for what would fail for certain."""
    if lacking := await site.review(planned, before_run=True):
        first, *rest = lacking
        raise UsageError(first, hint=" ".join(rest) or None)


async def clean_up_after_others(site: Site, target: Target, pipeline: str) -> None:
    """End what earlier, interrupted runs of the pipeline have left running."""
    for record in await site.records.runs(pipeline, limit=20):
        if record.state is RunState.RUNNING and record.target == target.name:
            await target.clean(*await left_by(site.records, record.run))
        else:  # killed after its last event
            await site.sweep(record)


def _check_only(steps: Sequence[Sequence[str]], only: frozenset[str] | None) -> None:
    known = [name for step in steps for name in step]
    unknown = sorted((only or frozenset()) - set(known))
    if unknown:
        raise UsageError(
            f"--only: the workflow has no stage {', '.join(unknown)}",
            hint=f"its stages are: {', '.join(known)}",
        )
