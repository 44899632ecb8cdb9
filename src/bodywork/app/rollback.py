"""Go back to an earlier release, with the models that it had."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from bodywork.app.execution import Outcome, Watcher, carry_out, files_of, new_run, record_of
from bodywork.app.lock import hold
from bodywork.app.parts import Parts, check_target
from bodywork.app.past import records_of
from bodywork.app.secrets import require
from bodywork.errors import NotFoundError, UsageError
from bodywork.run.ledger import Release
from bodywork.run.plan import ObservedService, Plan, rollback_plan


def rollback(parts: Parts, pipeline: str, to: str | None, watcher: Watcher, *, target: str) -> Outcome:
    """Make the services of an earlier release the current ones again, without running batch stages.

    `to` is the run that made the release, or the beginning of its id (None: the newest release
    that is not what runs now). Raises NotFoundError, BusyError, and UsageError when there is none.
    """
    check_target(target)
    records_of(parts, pipeline, limit=1)
    run = new_run()

    async def work() -> Outcome:
        release = await _release_to_go_back_to(parts, pipeline, to, target)
        old = parts.history.plan(release.run)
        # Nothing but services is run, not even `on_failure`.
        require(parts, replace(old.project, on_failure=None), release.services)
        where = parts.target(target, tree=await asyncio.to_thread(files_of, parts, old))
        planned = rollback_plan(
            run=run,
            target=target,
            release=old,
            inputs=release.services,
            observed=await where.observe(pipeline),
        )
        parts.history.begin(record_of(planned, "rollback"), planned)
        watcher.planned(planned)
        return await carry_out(parts, planned, where, watcher)

    with hold(parts.home.pipeline_lock(target, pipeline), run, pipeline=pipeline):
        return asyncio.run(work())


async def _release_to_go_back_to(parts: Parts, pipeline: str, to: str | None, target: str) -> Release:
    """The release of run `to`; without it the newest one that is not what runs now."""
    releases = parts.history.releases(pipeline, target)
    if to is not None:
        chosen = [release for release in releases if release.run.startswith(to)]
        if not chosen:
            known = ", ".join(release.run for release in releases[:5]) or "none"
            raise NotFoundError(
                f"run {to} is not a release of {pipeline}", hint=f"releases, newest first: {known}"
            )
        return chosen[0]
    observed = await parts.target(target).observe(pipeline)
    for release in releases:
        if not _is_current(parts.history.plan(release.run), release, observed):
            return release
    raise UsageError(
        f"there is no earlier release of {pipeline} to go back to",
        hint="a release is made by each run of a whole workflow with services that succeeds",
    )


def _is_current(old: Plan, release: Release, observed: Mapping[str, ObservedService]) -> bool:
    """Whether what runs now is just what a release had."""
    fingerprints = {p.stage.name: p.fingerprint for p in old.stages if p.stage.name in release.services}
    return fingerprints == {n: s.fingerprint for n, s in observed.items()} and all(
        dict(release.services[name]) == dict(service.inputs) for name, service in observed.items()
    )
