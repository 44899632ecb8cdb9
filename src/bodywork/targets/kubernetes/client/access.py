"""How one cluster is reached and as whom: what a kubeconfig, or a pod's own account, comes down to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A client certificate with its chain, and its key, both PEM."""

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Server:
    """The API server. `authority` is PEM; None: the authorities of this machine."""

    url: str
    authority: bytes | None = field(default=None, repr=False)
    insecure: bool = False
    tls_name: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A program that gives credentials (`exec:`). `cluster`: what it is told of the cluster, if it wants."""

    api_version: str
    command: str
    args: tuple[str, ...] = field(default=(), repr=False)  # somebody's password may be among them
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cluster: Mapping[str, Any] | None = None
    install_hint: str = ""
    interactive: Literal["Never", "IfAvailable", "Always"] = "IfAvailable"


@dataclass(frozen=True, kw_only=True)
class User:
    """Who asks. A token file goes before a token; `acting_as` are the headers of impersonation."""

    name: str
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    password: tuple[str, str] | None = field(default=None, repr=False)
    certificate: Certificate | None = None
    plugin: Plugin | None = None
    acting_as: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Access:
    """One context: a server, a user, and the namespace that is meant when none is named."""

    context: str
    server: Server
    user: User
    namespace: str = "default"
