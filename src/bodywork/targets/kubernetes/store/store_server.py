"""Starts the store of a namespace on first need, and waits until it serves.

It is the namespace's, not a pipeline's: several runs may start it at once, and none of them ever
replaces its keys or its claim.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from bodywork.errors import StageError, UsageError
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.client.api import AlreadyThereError, Api
from bodywork.targets.kubernetes.kinds import (
    DEPLOYMENT,
    EVENT,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    Object,
    kind_of,
)
from bodywork.targets.kubernetes.manifests import store as manifests
from bodywork.targets.kubernetes.pods.diagnose import containers_of, obstacle
from bodywork.targets.kubernetes.secrets.kept_secrets import is_kept
from bodywork.targets.kubernetes.settings import Settings

PATIENCE = 300.0  # seconds: a cluster may have to add a node first
ENDS_AGAIN = 60.0  # seconds for which one that ends by itself is started again
QUIET = 3.0  # seconds after which somebody who waits wants to know why
PAUSE = 0.5
HINT = "BODYWORK_STORE_IMAGE names another image; `store:` in bodywork.yaml names a store of your own"


async def start(
    api: Api,
    settings: Settings,
    *,
    pull_secrets: Sequence[str] = (),
    note: Callable[[str], None] = lambda sentence: None,
    patience: float = PATIENCE,
) -> dict[str, str]:
    """Make what is missing, wait until it serves and return the writer's credential, as variables.

    Raises StageError when it does not come up, UsageError when one of its names is somebody else's.
    """
    namespace = settings.namespace
    writer = await _made(api, _new_credential(manifests.WRITER, namespace))
    await _made(api, _new_credential(manifests.READER, namespace))
    await _made(api, manifests.claim(namespace))
    for wanted in (manifests.service(namespace), manifests.deployment(settings, pull_secrets)):
        _check_ours(await api.get(kind_of(wanted), manifests.NAME, namespace))
        await api.apply(wanted)
    await _ready(api, namespace, note, patience)
    return decoded(writer)


async def remove(api: Api, namespace: str) -> None:
    """Delete the store of a namespace and all that it keeps; what is not bodywork's stays."""
    names = [
        (DEPLOYMENT, manifests.NAME),
        (SERVICE, manifests.NAME),
        (PERSISTENT_VOLUME_CLAIM, manifests.NAME),
    ]
    for kind, name in [*names, (SECRET, manifests.WRITER), (SECRET, manifests.READER)]:
        found = await api.get(kind, name, namespace)
        if found is not None and labels.is_ours(found):
            await api.delete(kind, name, namespace, uid=found["metadata"]["uid"])


def decoded(secret: Object) -> dict[str, str]:
    """The content of a Secret as text."""
    data: Mapping[str, str] = secret.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _new_credential(name: str, namespace: str) -> Object:
    return manifests.credential(
        name, namespace, f"BW{secrets.token_hex(9).upper()}", secrets.token_urlsafe(30)
    )


async def _made(api: Api, wanted: Object) -> Object:
    """The object of this name, made if it is not there; what is there already stays as it is."""
    kind, name, namespace = kind_of(wanted), wanted["metadata"]["name"], wanted["metadata"]["namespace"]
    found = await api.get(kind, name, namespace)
    if found is None:
        try:
            return await api.create(wanted)
        except AlreadyThereError:
            found = await api.get(kind, name, namespace) or wanted
    _check_ours(found)
    return found


def _check_ours(found: Object | None) -> None:
    if found is not None and (not labels.is_ours(found) or is_kept(found)):
        what = f"{found['kind']} {found['metadata']['name']}"
        raise UsageError(
            f"namespace {found['metadata']['namespace']} has a {what} that bodywork did not make",
            hint="use another namespace (--namespace), or name your own store: `store:` in bodywork.yaml",
        )


async def _ready(api: Api, namespace: str, note: Callable[[str], None], patience: float) -> None:
    began, told = time.monotonic(), ""
    while not _serves(await api.get(DEPLOYMENT, manifests.NAME, namespace)):
        waited = time.monotonic() - began
        if waited > QUIET:
            why, enough = await _why(api, namespace)
            if waited > min(patience, enough):
                raise StageError(f"the store of namespace {namespace} does not come up: {why}", hint=HINT)
            if why != told:
                note(f"waiting for the store of namespace {namespace}: {why}")
                told = why
        await asyncio.sleep(PAUSE)


def _serves(deployment: Object | None) -> bool:
    if deployment is None:
        return False
    status = deployment.get("status") or {}
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return seen and bool(status.get("updatedReplicas")) and bool(status.get("availableReplicas"))


async def _why(api: Api, namespace: str) -> tuple[str, float]:
    """What keeps the store from serving, and after how many seconds that is final."""
    claim = await api.get(PERSISTENT_VOLUME_CLAIM, manifests.NAME, namespace)
    pods = await api.list(POD, namespace, labels=manifests.LABELS)
    if not pods:
        return await _refused(api, namespace), PATIENCE
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    events = await _events(api, namespace, newest["metadata"]["name"])
    found = obstacle(newest, events)
    if (
        claim is not None
        and claim["status"].get("phase") == "Pending"
        and (found is None or "claim" in found.reason)
    ):
        said = await _last_warning(api, namespace, manifests.NAME)
        return f"its claim {manifests.NAME} has no volume yet{said and f': {said}'}", PATIENCE
    if words := _last_words(newest):
        return f"it ends again and again: {words}", ENDS_AGAIN
    if found is not None:  # its next step is for the image of a stage
        return found.reason.partition("; ")[0], PATIENCE if found.patience is None else found.patience
    return "its pod starts", PATIENCE


def _last_words(pod: Object) -> str:
    """What a container that has ended more than once said at its end."""
    for container in containers_of(pod):
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if container.get("restartCount", 0) > 1 and ended:
            said = str(ended.get("message") or "").strip().splitlines()
            return said[-1] if said else f"exit code {ended.get('exitCode')}"
    return ""


async def _refused(api: Api, namespace: str) -> str:
    """Why there is no pod at all, in the server's words (a quota, a policy)."""
    deployment = await api.get(DEPLOYMENT, manifests.NAME, namespace) or {}
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return str(condition.get("message") or condition["reason"])
    return "it has no pod yet"


async def _events(api: Api, namespace: str, name: str) -> list[Object]:
    return await api.list(EVENT, namespace, fields=f"involvedObject.name={name}")


async def _last_warning(api: Api, namespace: str, name: str) -> str:
    """What the cluster's storage last complained of; that it is at work is no news to anybody."""
    events = await _events(api, namespace, name)
    warnings = [
        event
        for event in events
        if event["involvedObject"]["kind"] == "PersistentVolumeClaim" and event.get("type") == "Warning"
    ]
    if not warnings:
        return ""
    return str(max(warnings, key=lambda event: str(event.get("lastTimestamp") or ""))["message"])
