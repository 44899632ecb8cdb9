"""The Kubernetes objects that deploy a project, for those who apply them by other means (GitOps).

They are what `deploy --detach` makes: the record of a new run, the files that its pods get, and a
Job that carries the run out with just the rights that it needs. Everything else follows from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bodywork.app.checkout import Checkout
from bodywork.app.cluster.platform import platform_for
from bodywork.app.cluster.settings import settings_of
from bodywork.app.deploy import Request, check_out_request, lock_all
from bodywork.app.execution import Watcher, record_of
from bodywork.app.parts import Parts
from bodywork.environment import Lock
from bodywork.run.plan import Plan, make_plan
from bodywork.targets.kubernetes.manifests.controller import controller
from bodywork.targets.kubernetes.manifests.namespace import namespace
from bodywork.targets.kubernetes.manifests.source import gather, source_secret
from bodywork.targets.kubernetes.records.run_objects import RENDERED, first
from bodywork.targets.kubernetes.settings import Settings

KUBERNETES = "kubernetes"
DEFAULT = "default"
"""The namespace of objects of which nobody says another, as kubectl has it; it is always there."""


def render(parts: Parts, request: Request, watcher: Watcher) -> list[dict[str, Any]]:
    """The objects, in the order in which they are to be made; no cluster is asked.

    The same commit gives the same objects: to apply them again changes nothing.
    """
    checkout = check_out_request(parts, request, watcher)

    async def work() -> tuple[Mapping[str, Lock], Path]:
        tree = await asyncio.to_thread(parts.trees.ensure, checkout.commit.commit, checkout.commit.export)
        return await lock_all(parts, request, checkout, tree, watcher, platform_for(())), tree

    locks, tree = asyncio.run(work())
    settings = settings_of(parts, request.where, checkout.project, otherwise=DEFAULT)
    planned = _plan(checkout, locks, settings)
    record = replace(record_of(planned, "deploy"), started=checkout.commit.date().timestamp())
    source = gather(tree / planned.source.folder, _distinct(locks.values()))
    made_for_it = [namespace(planned.project, settings)] if settings.namespace != DEFAULT else []
    return [
        *made_for_it,
        source_secret(planned, source, settings),
        *first(record, planned, settings.namespace, key=RENDERED),
        *controller(planned, settings, variables={}),
    ]


def _plan(checkout: Checkout, locks: Mapping[str, Lock], settings: Settings) -> Plan:
    """A plan for a cluster of which nothing is known; what is there already is seen when it runs."""
    date, commit = checkout.commit.date(), checkout.source.commit
    cluster = replace(checkout.project.cluster, namespace=settings.namespace)
    return make_plan(
        run=f"{date:%Y%m%d-%H%M%S}-{commit[:4]}",
        target=KUBERNETES,
        project=replace(checkout.project, cluster=cluster),
        source=checkout.source,
        environments={name: lock.digest for name, lock in locks.items()},
        observed={},
    )


def _distinct(locks: Iterable[Lock]) -> list[Lock]:
    return list({lock.digest: lock for lock in locks}.values())
