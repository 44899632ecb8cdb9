"""All that a namespace of a cluster shows to who may not read Secrets: each kind of object, and logs."""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.client.connection import Connection, Request
from bodywork.targets.kubernetes.client.kubeconfig import access
from bodywork.targets.kubernetes.kinds import POD, SECRET, Object


async def contents(environment: Mapping[str, str], namespace: str) -> list[Object]:
    """All objects but Secrets, of whichever kinds the API server has."""
    connection = Connection(access(environment, None), environment)
    try:
        paths = [path async for path in _kinds(connection, namespace)]
        lists = await asyncio.gather(*(_get(connection, path) for path in paths))
    finally:
        await connection.close()
    return [{"kind": found.get("kind", "")[:-4], **one} for found in lists for one in found.get("items", ())]


async def _kinds(connection: Connection, namespace: str) -> Any:
    """The path of each list of a namespace."""
    groups = (await _get(connection, "/apis"))["groups"]
    roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for root in roots:
        for kind in (await _get(connection, root)).get("resources", ()):
            if kind["namespaced"] and "list" in kind["verbs"] and kind["name"] != SECRET.plural:
                yield f"{root}/namespaces/{namespace}/{kind['name']}"


async def _get(connection: Connection, path: str) -> Object:
    answer = await connection.send(Request(method="GET", path=path, params={}))
    found: Object = answer.json() if answer.status_code == 200 else {}
    return found


async def printed(api: Api, namespace: str) -> bytes:
    """The logs of all containers of all pods that have begun."""
    text = b""
    for pod in await api.list(POD, namespace):
        status = pod["status"]
        for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            if "waiting" not in one["state"]:
                name = pod["metadata"]["name"]
                text += b"".join([part async for part in api.log(name, namespace, container=one["name"])])
    return text


def expanded(document: Any) -> bytes:
    """A document as text, with what is packed in it."""
    return json.dumps(document).encode() + b"\n".join(_unpacked(document))


def _unpacked(document: Any) -> Iterator[bytes]:
    if isinstance(document, dict | list):
        for one in document.values() if isinstance(document, dict) else document:
            yield from _unpacked(one)
    elif isinstance(document, str):
        try:
            data = base64.b64decode(document, validate=True)
            yield gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        except (binascii.Error, ValueError):
            return
