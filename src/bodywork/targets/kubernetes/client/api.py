"""The one door to a cluster: objects in and out as plain dicts, failures as our own errors.

    async with Api.open(os.environ) as api:
        pods = await api.list(POD, "iris", labels={"bodywork/stage": "train"})

What passes by itself (an API server that restarts, 429, 503) is asked for again; watches never give up.
Every method raises UnreachableError when the cluster stays away or does not know the user, and
ForbiddenError for what the user may not do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bodywork.errors import BodyworkError
from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.answers import AlreadyThereError, ConflictError
from bodywork.targets.kubernetes.client.asking import Asking
from bodywork.targets.kubernetes.client.connection import Connection
from bodywork.targets.kubernetes.client.incluster import ACCOUNT
from bodywork.targets.kubernetes.client.kubeconfig import access as access_of
from bodywork.targets.kubernetes.client.logstream import LogRequest, NotStartedError, log_stream
from bodywork.targets.kubernetes.client.outage import Outage
from bodywork.targets.kubernetes.client.proxied import proxied_stream
from bodywork.targets.kubernetes.client.retries import Answer
from bodywork.targets.kubernetes.client.unreachable import place
from bodywork.targets.kubernetes.client.watch import Seen, Watch
from bodywork.targets.kubernetes.kinds import Kind, Object, kind_of

__all__ = ["AlreadyThereError", "Api", "ConflictError", "NotStartedError", "Object", "Seen"]

MANAGER = "bodywork"
"""The field manager of all that is applied."""
_REVIEW = Kind(
    "authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)


class Api:
    """One cluster, as one user. An async context manager; one event loop each."""

    def __init__(
        self,
        access: Access,
        environment: Mapping[str, str],
        *,
        patience: float = 10.0,
        note: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.context = access.context
        self.server = access.server.url
        self.user = access.user.name
        self.default_namespace = access.namespace
        connection, outage = Connection(access, environment), Outage(note, place(access))
        self._asking = Asking(connection=connection, access=access, outage=outage, patience=patience)
        self._refused: Callable[[], BodyworkError] | None = None

    @classmethod
    def open(
        cls,
        environment: Mapping[str, str],
        *,
        context: str | None = None,
        patience: float = 10.0,
        note: Callable[[str], None] = lambda sentence: None,
        account: Path = ACCOUNT,
    ) -> Api:
        """Read the kubeconfig; nothing is asked of the cluster yet. Raises UsageError, NotFoundError.

        `patience`: seconds for which a server that is away or overloaded is asked again.
        `note` is told when a watch waits for a server that is away, and when it is back.
        """
        return cls(
            access_of(environment, context, account=account), environment, patience=patience, note=note
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._asking.connection.close()

    def refuse_writes(self, why: Callable[[], BodyworkError]) -> None:
        """From now on raise this for all that would change the cluster: it is somebody else's turn."""
        self._refused = why

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """None: there is no such object, or no such namespace."""
        answer = await self._asking.answer("GET", kind.path(namespace, name))
        if answer.response.status_code == 404:
            return None
        return self._asking.object(answer, f"read {kind.named(name, namespace)}")

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | str = "",
        fields: str = "",
        most: int | None = None,
    ) -> list[Object]:
        """Of one namespace; None: of all, or of a kind that is in none. No more than `most`, whichever."""
        return (await self._asking.listed(kind, namespace, _selection(labels, fields), most=most)).items

    async def apply(self, obj: Object, *, force: bool = True, dry_run: bool = False) -> Object:
        """Server-side apply. Not `force`: ConflictError where others hold a field. Raises InvalidError,
        QuotaError, and NotFoundError without the namespace.
        """
        params = {"fieldManager": MANAGER, "force": "true" if force else "false"}
        if dry_run:
            params["dryRun"] = "All"
        kind, name, namespace = _of(obj)
        answer = await self._write(
            "PATCH", kind.path(namespace, name), params, obj, "application/apply-patch+yaml"
        )
        return self._asking.object(answer, f"apply {kind.named(name, namespace)}")

    async def create(self, obj: Object) -> Object:
        """Raises AlreadyThereError, also when it was this call that made the object, and the answer was
        lost; InvalidError, QuotaError, and NotFoundError without the namespace.
        """
        kind, name, namespace = _of(obj)
        answer = await self._write("POST", kind.path(namespace), {"fieldManager": MANAGER}, obj)
        return self._asking.object(answer, f"create {kind.named(name, namespace)}")

    async def replace(self, obj: Object) -> Object:
        """Raises ConflictError when it has changed since `metadata.resourceVersion`, NotFoundError."""
        kind, name, namespace = _of(obj)
        answer = await self._write("PUT", kind.path(namespace, name), {"fieldManager": MANAGER}, obj)
        return self._asking.object(answer, f"replace {kind.named(name, namespace)}")

    async def patch(
        self, kind: Kind, name: str, namespace: str | None, change: Object, *, subresource: str = ""
    ) -> Object:
        """JSON merge patch: None takes a key away. Raises NotFoundError, InvalidError, ConflictError."""
        answer = await self._write(
            "PATCH",
            kind.path(namespace, name, subresource),
            {"fieldManager": MANAGER},
            change,
            "application/merge-patch+json",
        )
        return self._asking.object(answer, f"change {kind.named(name, namespace)}")

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        uid: str | None = None,
    ) -> bool:
        """False: it was not there, or is another one than `uid`. `grace` in seconds."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        answer = await self._write("DELETE", kind.path(namespace, name), {}, options)
        code = answer.response.status_code
        if code == 404 or (code == 409 and uid is not None):
            return code == 404 and answer.lost  # a try before this one has deleted it
        self._asking.object(answer, f"delete {kind.named(name, namespace)}")
        return True

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | str = "",
        fields: str = "",
    ) -> AsyncGenerator[Seen, None]:
        """All that is there, then what changes, for ever. Wrap it in `contextlib.aclosing`."""
        return Watch(self._asking, kind, namespace, _selection(labels, fields)).seen()

    def log(
        self,
        pod: str,
        namespace: str,
        *,
        container: str,
        follow: bool = False,
        since_time: str | None = None,
        tail: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """What a container printed, in pieces as they come. Wrap it in `contextlib.aclosing`.

        Raises NotFoundError (no such pod, or its log is gone), NotStartedError (nothing has run yet),
        UnreachableError (also when the stream is cut: ask anew from the last timestamp).
        """
        wanted = LogRequest(
            pod=pod,
            namespace=namespace,
            container=container,
            follow=follow,
            since_time=since_time,
            tail=tail,
            previous=previous,
            timestamps=timestamps,
            limit_bytes=limit_bytes,
        )
        return log_stream(self._asking, wanted)

    def proxied(
        self, method: str, service: str, namespace: str, path: str, params: Mapping[str, str]
    ) -> AsyncGenerator[bytes, None]:
        """What a service (NAME:PORT) answers to a request that the API server passes on.

        The Host that it sees is the one of `server`. Wrap it in `contextlib.aclosing`.
        """
        return proxied_stream(self._asking, method, service, namespace, path, params)

    async def allowed(
        self, verb: str, kind: Kind, namespace: str | None = None, *, subresource: str = ""
    ) -> bool:
        """Whether this user may do it, in the server's own judgement. None: in all namespaces."""
        asked = {"verb": verb, "group": kind.group, "resource": kind.plural, "subresource": subresource}
        spec = {"resourceAttributes": {**asked, "namespace": namespace or ""}}
        review = {"apiVersion": _REVIEW.api_version, "kind": _REVIEW.kind, "spec": spec}
        answer = await self._asking.answer("POST", _REVIEW.path(), {}, review)
        return bool(
            self._asking.object(answer, f"ask whether one may {verb} {kind.plural}")["status"]["allowed"]
        )

    async def served(self, kind: Kind) -> bool:
        """Whether the cluster knows this kind, in this version."""
        answer = await self._asking.answer("GET", kind.root)
        if answer.response.status_code == 404:
            return False
        known = self._asking.object(answer, f"ask what there is of {kind.api_version}")["resources"]
        return any(resource["name"] == kind.plural for resource in known)

    async def version(self) -> tuple[int, int]:
        """(1, 34)"""
        said = self._asking.object(await self._asking.answer("GET", "/version"), "ask for the version")
        return int(said["major"]), int("".join(filter(str.isdigit, said["minor"])))

    async def _write(self, method: str, path: str, *what: Any) -> Answer:
        if self._refused is not None:
            raise self._refused()
        return await self._asking.answer(method, path, *what)


def _selection(labels: Mapping[str, str] | str, fields: str) -> dict[str, str]:
    chosen = (
        labels if isinstance(labels, str) else ",".join(f"{key}={value}" for key, value in labels.items())
    )
    return {key: value for key, value in (("labelSelector", chosen), ("fieldSelector", fields)) if value}


def _of(obj: Object) -> tuple[Kind, str, str | None]:
    metadata = obj["metadata"]
    return kind_of(obj), metadata["name"], metadata.get("namespace")
