"""Credentials from a program (`exec:` of a kubeconfig), versions v1 and v1beta1.

The protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bodywork.errors import BodyworkError, MachineError, UnreachableError
from bodywork.process import CommandError, run_async
from bodywork.targets.kubernetes.client.access import Certificate, Plugin, User

TIMEOUT = 60.0
"""Seconds in which a plugin has to answer: it may well ask a server of its own."""
_LAST_LINES = 5


class LoginError(UnreachableError):
    """The cluster cannot know who asks: the user has to log in again."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What a plugin gave; `expires` in seconds since 1970."""

    token: str | None = field(default=None, repr=False)
    certificate: Certificate | None = None
    expires: float | None = None


async def ask(plugin: Plugin, user: User, environment: Mapping[str, str]) -> Credential:
    """Run the plugin. It has nothing to read from: nobody is asked.

    Raises MachineError when it is not there, LoginError when it gives no credential.
    """
    env = {**environment, **plugin.env}
    program = shutil.which(plugin.command, path=env.get("PATH", os.defpath))
    if program is None:
        raise MachineError(
            f"user `{user.name}` logs in by the program `{plugin.command}`, which is not there",
            hint=plugin.install_hint or f"install `{plugin.command}`, or add its folder to PATH",
        )
    if plugin.interactive == "Always":
        raise _failed(plugin, user, "it wants to ask at a terminal, and bodywork never asks")
    try:
        done = await run_async(
            [program, *plugin.args], env={**env, "KUBERNETES_EXEC_INFO": _info(plugin)}, timeout=TIMEOUT
        )
    except CommandError as error:
        how = f"after {TIMEOUT:.0f} s" if error.code is None else f"with exit code {error.code}"
        raise _failed(plugin, user, f"it ended {how}:{_last_lines(error.output)}") from error
    except OSError as error:
        raise _failed(plugin, user, f"it cannot be started: {error.strerror}") from error
    return _read(done.stdout, plugin, user)


def _info(plugin: Plugin) -> str:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    return json.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})


def _read(printed: str, plugin: Plugin, user: User) -> Credential:
    """The ExecCredential that a plugin printed. What it printed is never shown: it may be a secret."""
    try:
        said = json.loads(printed)
        status, version = said["status"], said["apiVersion"]
        token, chain, key = (status.get(name) for name in ("token", "clientCertificateData", "clientKeyData"))
        expires = _seconds(status.get("expirationTimestamp"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _failed(plugin, user, "what it printed is not an ExecCredential") from error
    if version != plugin.api_version:
        raise _failed(plugin, user, f"it answered in version {version}, not in {plugin.api_version}")
    if not token and not (chain and key):
        raise _failed(plugin, user, "it gave neither a token nor a certificate with its key")
    certificate = Certificate(chain=chain.encode(), key=key.encode()) if chain and key else None
    return Credential(token=token or None, certificate=certificate, expires=expires)


def _seconds(timestamp: str | None) -> float | None:
    if not timestamp:
        return None
    moment = datetime.fromisoformat(timestamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _last_lines(output: str) -> str:
    lines = output.strip().splitlines()[-_LAST_LINES:]
    return "".join(f"\n    {line}" for line in lines) or " it printed nothing"


def _failed(plugin: Plugin, user: User, why: str) -> BodyworkError:
    return LoginError(
        f"user `{user.name}` logs in to the cluster by `{plugin.command}`, which gave no credentials: {why}",
        hint="log in again with the tool that it belongs to, and check with `kubectl auth whoami`",
    )
