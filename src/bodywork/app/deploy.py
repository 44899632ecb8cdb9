"""Deploy a project: from what the user named to a run that has ended."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bodywork.app.checkout import Checkout, check_out, index_date, lock_environments
from bodywork.app.elsewhere import not_here
from bodywork.app.execution import Outcome, Watcher, carry_out, new_run, record_of
from bodywork.app.lock import hold
from bodywork.app.parts import Parts, check_target
from bodywork.app.past import left_by, newest_artifacts
from bodywork.app.secrets import require
from bodywork.environment import Lock
from bodywork.errors import UsageError
from bodywork.run.plan import ObservedService, Plan, make_plan
from bodywork.run.states import RunState
from bodywork.targets.local.target import LocalTarget

SILENCE = 1.0
"""Seconds of work after which something is said about it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked to deploy, and how."""

    repository: str = "."
    ref: str | None = None
    file: str | None = None
    target: str = "local"
    only: frozenset[str] | None = None
    fail_fast: bool = False
    as_of: datetime | None = None
    wait: bool = False
    offline: bool = False
    pass_env: frozenset[str] = frozenset()
    ssh_key: str | None = None


def plan(parts: Parts, request: Request, watcher: Watcher) -> Plan:
    """What `deploy` would do with the same request. Changes nothing but caches."""
    checkout = _check_out(parts, request, watcher)
    return asyncio.run(_plan(parts, request, checkout, new_run(), watcher))[0]


def unbuilt(parts: Parts, planned: Plan) -> frozenset[str]:
    """The environments of a plan that are yet to be built; each is looked for once."""
    wanted = {stage.environment for stage in planned.all_stages}
    return frozenset(digest for digest in wanted if not parts.environments.built(digest))


def deploy(parts: Parts, request: Request, watcher: Watcher) -> Outcome:
    """Run a project's workflow at one commit.

    Raises the errors of `check_out`, BusyError when the pipeline has a run in progress, and
    ResolutionError before anything has run. A run of chosen stages (`only`) makes no release.
    """
    checkout = _check_out(parts, request, watcher)
    run, pipeline = new_run(), checkout.project.name

    async def work() -> Outcome:
        planned, tree = await _plan(parts, request, checkout, run, watcher)
        target = parts.target(request.target, tree=tree, pass_env=request.pass_env)
        await _clean_up_after_others(parts, target, pipeline)
        if missing := unbuilt(parts, planned):
            what = "1 environment" if len(missing) == 1 else f"{len(missing)} environments"
            watcher.note(f"building {what}; later runs will find what is built now")
        watcher.planned(planned)
        parts.history.begin(record_of(planned, "deploy"), planned)
        return await carry_out(
            parts, planned, target, watcher, fail_fast=request.fail_fast, release=request.only is None
        )

    with hold(parts.home.pipeline_lock(request.target, pipeline), run, pipeline=pipeline, wait=request.wait):
        outcome = asyncio.run(work())
    parts.trees.trim()
    return outcome


def _check_out(parts: Parts, request: Request, watcher: Watcher) -> Checkout:
    check_target(request.target)
    git = parts.git_with(request.ssh_key)
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


async def _plan(
    parts: Parts, request: Request, checkout: Checkout, run: str, watcher: Watcher
) -> tuple[Plan, Path]:
    """The plan, and the folder with the commit's files."""
    project = checkout.project
    _check_only(project.steps, request.only)
    for sentence in not_here(project):
        watcher.note(sentence)
    require(parts, project, request.only)
    tree = await asyncio.to_thread(parts.trees.ensure, checkout.commit.commit, checkout.commit.export)
    locks = await _locks(parts, request, checkout, tree, watcher)
    observed: Mapping[str, ObservedService] = await parts.target(request.target).observe(project.name)
    planned = make_plan(
        run=run,
        target=request.target,
        project=project,
        source=checkout.source,
        environments={name: lock.digest for name, lock in locks.items()},
        observed=observed,
        only=request.only,
        known=newest_artifacts(parts.history, project.name, request.target) if request.only else {},
    )
    return planned, tree


async def _locks(
    parts: Parts, request: Request, checkout: Checkout, tree: Path, watcher: Watcher
) -> dict[str, Lock]:
    """The locks of all stages; says which packages those are, and what is odd about them."""
    date = await asyncio.to_thread(index_date, checkout, request.as_of, tree=tree)
    if date.warning:
        watcher.warning(date.warning)
    if date.note:
        watcher.note(date.note)
    folder = checkout.source.folder
    locking = asyncio.ensure_future(
        lock_environments(parts.environments, checkout.project, tree=tree, folder=folder, as_of=date.at)
    )
    if not (await asyncio.wait({locking}, timeout=SILENCE))[0]:
        watcher.note(f"resolving packages as of {f'{date.at:%Y-%m-%d}' if date.at else 'now'}")
    locks = await locking
    for text in sorted({warning for lock in locks.values() for warning in lock.warnings}):
        watcher.warning(text)
    return locks


async def _clean_up_after_others(parts: Parts, target: LocalTarget, pipeline: str) -> None:
    """End what earlier, interrupted runs of the pipeline have left running."""
    for record in parts.history.runs(pipeline, limit=20):
        if record.state is RunState.RUNNING and record.target == target.name:
            await target.clean(*left_by(parts.history, record.run))
        else:  # killed after its last event
            shutil.rmtree(parts.places.work(record.run), ignore_errors=True)


def _check_only(steps: Sequence[Sequence[str]], only: frozenset[str] | None) -> None:
    known = [name for step in steps for name in step]
    unknown = sorted((only or frozenset()) - set(known))
    if unknown:
        raise UsageError(
            f"--only: the workflow has no stage {', '.join(unknown)}",
            hint=f"its stages are: {', '.join(known)}",
        )
