"""Go back to an earlier release, with the models that it had."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from bodywork.app.execution import Outcome, Watcher, carry_out, new_run, record_of
from bodywork.app.parts import Parts
from bodywork.app.past import records_of
from bodywork.app.records import Records
from bodywork.app.site import Site
from bodywork.app.sites import open_site
from bodywork.app.where import Where
from bodywork.errors import NotFoundError, UsageError
from bodywork.run.ledger import Release
from bodywork.run.plan import ObservedService, Plan, rollback_plan


def rollback(parts: Parts, where: Where, pipeline: str, to: str | None, watcher: Watcher) -> Outcome:
    """Make the services of an earlier release the current ones again, without running batch stages.

    `to` is the run that made the release, or the beginning of its id (None: the newest release
    that is not what runs now). Raises NotFoundError, BusyError, and UsageError when there is none.
    """
    run = new_run()

    async def work() -> Outcome:
        cancel = asyncio.Event()
        async with open_site(parts, where) as site:
            await records_of(site, pipeline, limit=1)
            async with site.hold(pipeline, run, cancel=cancel):
                return await _go_back(site, pipeline, run, to, watcher, cancel)

    return asyncio.run(work())


async def _go_back(
    site: Site, pipeline: str, run: str, to: str | None, watcher: Watcher, cancel: asyncio.Event
) -> Outcome:
    observed = await (await site.target(pipeline)).observe(pipeline)
    release = await _release_to_go_back_to(site.records, pipeline, to, observed)
    old = await site.records.plan(release.run)
    # Nothing but services is run, not even `on_failure`, and nobody is told.
    await site.check(replace(old.project, on_failure=None, notify=()), release.services)
    target = await site.target(pipeline, tree=await site.files(old))
    planned = rollback_plan(
        run=run, target=site.name, release=old, inputs=release.services, observed=observed
    )
    await site.records.begin(record_of(planned, "rollback"), planned)
    watcher.planned(planned)
    return await carry_out(site, planned, target, watcher, cancel=cancel, tell=False)


async def _release_to_go_back_to(
    records: Records, pipeline: str, to: str | None, observed: Mapping[str, ObservedService]
) -> Release:
    """The release of run `to`; without it the newest one that is not what runs now."""
    releases = await records.releases(pipeline)
    if to is not None:
        chosen = [release for release in releases if release.run.startswith(to)]
        if not chosen:
            known = ", ".join(release.run for release in releases[:5]) or "none"
            raise NotFoundError(
                f"run {to} is not a release of {pipeline}", hint=f"releases, newest first: {known}"
            )
        return chosen[0]
    for release in releases:
        if not _is_current(await records.plan(release.run), release, observed):
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
