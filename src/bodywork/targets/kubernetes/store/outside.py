"""Artifacts of a cluster for who is outside of it: `bodywork artifacts get`.

A bucket is asked itself. The store that bodywork started answers inside the cluster only: the API
server passes a signed request on, for users who may `get` the subresource `services/proxy`.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from bodywork.artifacts.files import room_on
from bodywork.artifacts.objects import ObjectStore, place
from bodywork.errors import NotFoundError
from bodywork.run.plan import Plan
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import SECRET
from bodywork.targets.kubernetes.manifests import store as manifests
from bodywork.targets.kubernetes.store import store_server
from bodywork.targets.kubernetes.store.location import Location
from bodywork.targets.kubernetes.store.store import opened


async def fetch(
    api: Api,
    plan: Plan,
    namespace: str,
    location: Location,
    digest: str,
    into: Path,
    variables: Mapping[str, str],
) -> None:
    """Bring what lies at `location` to `into`, which is not there yet; `plan` is that of its run.

    Raises what `ObjectStore.get` raises, and ForbiddenError.
    """
    key = location.key(plan.project.object_name)
    if plan.project.store is not None:
        store = await opened(api, plan.project.store, namespace, variables)
        await asyncio.to_thread(store.get, key, digest, into)
        return
    path, params = await _signed(api, namespace, key)
    with room_on(into.parent), tempfile.TemporaryDirectory(dir=into.parent, prefix=".new-") as scratch:
        content = Path(scratch, "content")
        found = await _download(api, namespace, path, params, content)
        what = f"{key} in the store of namespace {namespace}"
        await asyncio.to_thread(place, content, found, digest, into, what=what)


async def _signed(api: Api, namespace: str, key: str) -> tuple[str, dict[str, str]]:
    """Path and query for the one that only reads; it is told that it is called as the API server is."""
    reader = await api.get(SECRET, manifests.READER, namespace)
    if reader is None:
        raise NotFoundError(f"namespace {namespace} has no store of artifacts (any more)")
    server = urlsplit(api.server)
    address = replace(manifests.address(namespace), endpoint=f"{server.scheme}://{server.netloc}")
    store = ObjectStore(address, store_server.decoded(reader))
    url = urlsplit(await asyncio.to_thread(store.sign, "GET", key))
    return unquote(url.path), dict(parse_qsl(url.query))


async def _download(api: Api, namespace: str, path: str, params: Mapping[str, str], into: Path) -> str:
    """Write it to a new file and return its sha256."""
    taken, service = hashlib.sha256(), f"{manifests.NAME}:{manifests.READ_PORT}"
    with into.open("xb") as file:
        async with aclosing(api.proxied(service, namespace, path, params)) as chunks:
            async for chunk in chunks:
                taken.update(chunk)
                file.write(chunk)
    return taken.hexdigest()
