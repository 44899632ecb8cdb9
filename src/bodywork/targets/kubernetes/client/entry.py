"""A cluster or a user as a kubeconfig writes them, and what they come down to."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bodywork.errors import UsageError
from bodywork.targets.kubernetes.client.access import Certificate, Plugin, Server, User
from bodywork.targets.kubernetes.client.proxies import proxy_for

_EXEC_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
_EXEC_EXTENSION = "client.authentication.k8s.io/exec"  # where a cluster keeps what its plugin wants to know


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry, and the file that has it: relative paths start there."""

    kind: str
    name: str
    content: Mapping[str, Any]
    file: Path

    def text(self, key: str) -> str | None:
        """A value as text; None where it is missing or empty."""
        value = self.content.get(key)
        return None if value is None or value == "" else str(value)

    def path(self, key: str) -> Path | None:
        value = self.text(key)
        return None if value is None else self.file.parent / value

    def pem(self, key: str) -> bytes | None:
        """What `key-data` holds, else what the file `key` holds. Raises UsageError."""
        if (data := self.text(f"{key}-data")) is not None:
            try:
                return base64.b64decode(data)
            except (binascii.Error, ValueError) as error:
                raise self.wrong(f"`{key}-data` is not base64") from error
        path = self.path(key)
        try:
            return None if path is None else path.read_bytes()
        except OSError as error:
            raise self.wrong(f"`{key}` names {path}: {error.strerror}") from error

    def wrong(self, what: str, hint: str | None = None) -> UsageError:
        return UsageError(f"{self.file}: {self.kind} `{self.name}`: {what}", hint=hint)


def server_of(cluster: Entry, environment: Mapping[str, str]) -> Server:
    """Raises UsageError."""
    url = cluster.text("server")
    if url is None or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise cluster.wrong(f"`server` is to be a URL with http or https, and is {url!r}")
    insecure = cluster.content.get("insecure-skip-tls-verify") is True
    authority = cluster.pem("certificate-authority")
    if insecure and authority:
        raise cluster.wrong("gives an authority and `insecure-skip-tls-verify`, which rules it out")
    return Server(
        url=url.rstrip("/"),
        authority=authority,
        insecure=insecure,
        tls_name=cluster.text("tls-server-name"),
        proxy=cluster.text("proxy-url") or proxy_for(url, environment),
    )


def user_of(user: Entry, cluster: Entry, server: Server) -> User:
    """Raises UsageError."""
    name, password = user.text("username"), user.text("password")
    plugin = None if user.content.get("exec") is None else _plugin(user, cluster, server)
    found = User(
        name=user.name,
        token=user.text("token"),
        token_file=user.path("tokenFile"),
        password=(name, password or "") if name else None,
        certificate=_certificate(user),
        plugin=plugin,
        acting_as=tuple(_acting_as(user)),
    )
    if user.content.get("auth-provider") and not (found.token or found.token_file or plugin):
        provider = user.content["auth-provider"].get("name")
        raise user.wrong(
            f"logs in by the auth-provider `{provider}`, which is not supported",
            hint="use the exec plugin of your provider in its place (`kubectl oidc-login` for OIDC)",
        )
    return found


def _certificate(user: Entry) -> Certificate | None:
    chain, key = user.pem("client-certificate"), user.pem("client-key")
    if (chain is None) != (key is None):
        raise user.wrong("`client-certificate` and `client-key` go together, and one is missing")
    return Certificate(chain=chain, key=key) if chain is not None and key is not None else None


def _acting_as(user: Entry) -> Iterator[tuple[str, str]]:
    """https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation"""
    for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
        if value := user.text(key):
            yield header, value
    for group in user.content.get("as-groups") or []:
        yield "Impersonate-Group", str(group)
    for key, values in (user.content.get("as-user-extra") or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{quote(key.lower(), safe='')}", str(value)


def _plugin(user: Entry, cluster: Entry, server: Server) -> Plugin:
    content = user.content["exec"]
    version, command = str(content.get("apiVersion")), str(content.get("command") or "")
    if version not in _EXEC_VERSIONS:
        raise user.wrong(
            f"`exec` is of version {version}, and only {' and '.join(_EXEC_VERSIONS)} are known",
            hint="let your cloud's tool write the kubeconfig anew",
        )
    if not command:
        raise user.wrong("`exec` names no command")
    return Plugin(
        api_version=version,
        # as kubectl: a bare name is looked for in PATH, any other is relative to the file
        command=str(user.file.parent / command) if "/" in command else command,
        args=tuple(str(arg) for arg in content.get("args") or []),
        env={str(item["name"]): str(item.get("value", "")) for item in content.get("env") or []},
        cluster=_told(cluster, server) if content.get("provideClusterInfo") is True else None,
        install_hint=str(content.get("installHint") or "").strip(),
        interactive=content.get("interactiveMode") or "IfAvailable",
    )


def _told(cluster: Entry, server: Server) -> dict[str, Any]:
    """The `spec.cluster` of an ExecCredential."""
    told: dict[str, Any] = {"server": server.url}
    if server.tls_name:
        told["tls-server-name"] = server.tls_name
    if server.insecure:
        told["insecure-skip-tls-verify"] = True
    if server.authority:
        told["certificate-authority-data"] = base64.b64encode(server.authority).decode()
    if proxy := cluster.text("proxy-url"):
        told["proxy-url"] = proxy
    for extension in cluster.content.get("extensions") or []:
        if extension.get("name") == _EXEC_EXTENSION:
            told["config"] = extension.get("extension")
    return told
