"""What the API server says when it does not do what was asked, in our own errors.

The words are those of its Status object, cut short:
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx2

from bodywork.errors import (
    BodyworkError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    QuotaError,
    UnreachableError,
    UsageError,
)
from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.plugin import LoginError
from bodywork.targets.kubernetes.client.unreachable import kubectl, place

_LONGEST = 600  # characters of the server's words that are shown
_RIGHT = re.compile(
    r'User "(?P<who>[^"]+)" cannot (?P<verb>\S+) resource "(?P<what>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_QUOTA = re.compile(r"(?:exceeded|failed) quota: .*", re.DOTALL)


class AlreadyThereError(BodyworkError):
    """An object of that name is there already."""


class ConflictError(BodyworkError):
    """The object has changed since it was read, or other owners hold fields that were to be applied."""


class ExpiredError(BodyworkError):
    """The resource version or the next page that was asked for is too old: list anew (410)."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The server's answer to what it did not do."""

    code: int
    reason: str = ""
    message: str = ""
    causes: tuple[str, ...] = ()
    retry_after: float | None = field(default=None)

    @property
    def words(self) -> str:
        text = " ".join(self.message.split()) or f"status {self.code}"
        return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


def status_of(response: httpx2.Response) -> Status:
    """Of an answer that has been read; one that is no Status (a proxy's page) gives its text."""
    try:
        said = json.loads(response.content)
        assert isinstance(said, dict)
    except (ValueError, AssertionError):
        said = {"message": response.text}
    status = status_in({**said, "code": response.status_code})
    after = _number(response.headers.get("Retry-After"))
    return status if after is None else Status(**{**vars(status), "retry_after": after})


def status_in(said: dict[str, Any]) -> Status:
    """Of a Status object, such as the event ERROR of a watch holds."""
    details = said.get("details") or {}
    return Status(
        code=int(said.get("code") or 0),
        reason=str(said.get("reason") or ""),
        message=str(said.get("message") or ""),
        causes=tuple(str(cause.get("reason")) for cause in details.get("causes") or []),
        retry_after=_number(details.get("retryAfterSeconds")),
    )


def error_of(status: Status, doing: str, access: Access) -> BodyworkError:
    """`doing` says what was asked for: `create job train in iris`."""
    words = status.words
    match status.code:
        case code if code < 400 or (code == 400 and not status.reason):
            return not_kubernetes(access)
        case 401:
            return _unknown(access)
        case 403:
            return _forbidden(status, doing, access)
        case 404:
            return NotFoundError(f"the cluster {place(access)} could not {doing}: {words}")
        case 409 if status.reason == "AlreadyExists":
            return AlreadyThereError(f"could not {doing}: {words}")
        case 409:
            return ConflictError(f"could not {doing}: {words}")
        case 410:
            return ExpiredError(f"could not {doing}: {words}")
        case 429 | 503 | 504:
            return UnreachableError(
                f"the cluster {place(access)} is overloaded or starting, and did not {doing}: {words}",
                hint="try again in a minute",
            )
        case code if code >= 500:
            return UnreachableError(
                f"the cluster {place(access)} failed to {doing}: {words}",
                hint=f"see how it is with {kubectl(access, 'get --raw /readyz?verbose')}",
            )
    return InvalidError(
        f"the cluster does not {doing}: {words}",
        hint="change what bodywork.yaml gives there; if it gives nothing of it, please report it",
    )


def not_kubernetes(access: Access) -> BodyworkError:
    """A redirect, or a page for people, where the API was to be."""
    return UnreachableError(
        f"what answers for the cluster {place(access)} is not the API of Kubernetes",
        hint=f"see `server` in the kubeconfig ({access.server.url}): is a login page before it?",
    )


def _unknown(access: Access) -> BodyworkError:
    user = access.user
    if user.plugin is not None:
        again = f"log in again with the tool that `{user.plugin.command}` belongs to"
    elif user.token_file is not None or user.token is not None:
        again = "its token may have expired: get a new one"
    elif user.certificate is not None:
        again = "its client certificate may have expired: get the kubeconfig anew"
    else:
        again = "give the user a token, a certificate or an exec plugin in the kubeconfig"
    return LoginError(
        f"the cluster {place(access)} does not accept the credentials of user `{user.name}`",
        hint=f"{again}; then check with {kubectl(access, 'auth whoami')}",
    )


def _forbidden(status: Status, doing: str, access: Access) -> BodyworkError:
    if found := _QUOTA.search(status.message):
        return QuotaError(
            f"no room in the namespace's quota to {doing}: {found[0]}",
            hint="ask for less under `resources:`, wait for others to end, or have the quota raised",
        )
    if "NamespaceTerminating" in status.causes:
        return UsageError(
            f"cannot {doing}: the namespace is being deleted", hint="wait until it is gone, then do it again"
        )
    if found := _RIGHT.search(status.message):
        if found["who"] == "system:anonymous":
            return _unknown(access)
        what = f"{found['what']}.{found['group']}" if found["group"] else found["what"]
        where = f"in namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
        return ForbiddenError(
            f"`{found['who']}` may not {found['verb']} {what} {where} of the cluster {place(access)}",
            hint="see what is missing with `bodywork doctor --target kubernetes`; ask for a role that has it",
        )
    return ForbiddenError(
        f"a rule of the cluster {place(access)} forbids to {doing}: {status.words}",
        hint="change what it names, or ask who runs the cluster",
    )


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None
