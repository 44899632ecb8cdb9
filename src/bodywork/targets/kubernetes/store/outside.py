"""The store that bodywork started in a namespace, for who is outside of the cluster.

It answers inside only: the API server passes signed requests on, for users who may `get` (and, to
prune, `delete`) the subresource `services/proxy`.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from bodywork.artifacts import pieces
from bodywork.artifacts.content import place
from bodywork.artifacts.files import room_on
from bodywork.artifacts.objects import Entry
from bodywork.artifacts.presign import presigned
from bodywork.errors import NotFoundError
from bodywork.run.plan import Plan
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import SECRET
from bodywork.targets.kubernetes.manifests import store as manifests
from bodywork.targets.kubernetes.store import store_server
from bodywork.targets.kubernetes.store.location import Location
from bodywork.targets.kubernetes.store.store import opened

BUCKET = f"/{manifests.BUCKET}"
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The store as one of its two users; `service` is NAME:PORT."""

    api: Api
    namespace: str
    service: str
    credential: Mapping[str, str]

    @classmethod
    async def reader(cls, api: Api, namespace: str) -> Outside:
        """Raises NotFoundError where there is no such store."""
        return await cls._open(api, namespace, manifests.READER, manifests.READ_PORT)

    @classmethod
    async def writer(cls, api: Api, namespace: str) -> Outside:
        """Raises NotFoundError where there is no such store."""
        return await cls._open(api, namespace, manifests.WRITER, manifests.PORT)

    @classmethod
    async def _open(cls, api: Api, namespace: str, secret: str, port: int) -> Outside:
        found = await api.get(SECRET, secret, namespace)
        if found is None:
            raise NotFoundError(f"namespace {namespace} has no store of artifacts (any more)")
        credential, service = store_server.decoded(found), f"{manifests.NAME}:{port}"
        return cls(api=api, namespace=namespace, service=service, credential=credential)

    async def download(self, key: str, into: Path) -> str:
        """Write an artifact to a new file and return its sha256."""
        taken = hashlib.sha256()
        with into.open("xb") as file:
            for one in pieces.keys(key, pieces.PIECE):
                begun = file.tell()
                async with aclosing(self._ask("GET", f"{BUCKET}/{one}", {})) as chunks:
                    async for chunk in chunks:
                        taken.update(chunk)
                        file.write(chunk)
                if file.tell() - begun != pieces.PIECE:
                    break
        return taken.hexdigest()

    async def list(self, prefix: str) -> AsyncIterator[Entry]:
        """All objects whose keys begin so, a page at a time."""
        params = {"list-type": "2", "prefix": prefix}
        while True:
            page = ElementTree.fromstring(await self._whole("GET", BUCKET, params))
            for one in page.iterfind("{*}Contents"):
                key, size = one.findtext("{*}Key"), one.findtext("{*}Size")
                yield Entry(key=key or "", size=int(size or 0))
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                return
            params = {**params, "continuation-token": token}

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete what is there of `keys`."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(key: str) -> None:
            async with slots:
                await self._whole("DELETE", f"{BUCKET}/{key}", {})

        await asyncio.gather(*(one(key) for key in keys))

    async def _whole(self, method: str, path: str, params: Mapping[str, str]) -> bytes:
        async with aclosing(self._ask(method, path, params)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    def _ask(self, method: str, path: str, params: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """It is told that it is called as the API server is."""
        host = urlsplit(self.api.server).netloc.rpartition("@")[2]
        signed = presigned(method, path, params, host=host, credential=self.credential)
        return self.api.proxied(method, self.service, self.namespace, path, signed)


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
        piece = pieces.size(store.address.scheme)
        await asyncio.to_thread(store.get, key, digest, into, piece=piece)
        return
    store_here = await Outside.reader(api, namespace)
    with room_on(into.parent), tempfile.TemporaryDirectory(dir=into.parent, prefix=".new-") as scratch:
        content = Path(scratch, "content")
        found = await store_here.download(key, content)
        what = f"{key} in the store of namespace {namespace}"
        await asyncio.to_thread(place, content, found, digest, into, what=what)
