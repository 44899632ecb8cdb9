"""A pod's own account: how a program that runs in the cluster reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bodywork.targets.kubernetes.client.access import Access, Server, User

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"
"""Stands for a context where there is no kubeconfig."""


def own_account(environment: Mapping[str, str], account: Path = ACCOUNT) -> Access | None:
    """None: this is not a pod, or one without a token. The token is read anew whenever it is used."""
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    token, authority, namespace = account / "token", account / "ca.crt", account / "namespace"
    if not host or not port or not token.is_file():
        return None
    host = f"[{host}]" if ":" in host else host
    return Access(
        context=IN_CLUSTER,
        # never through a proxy: pods reach the API server by its address in the cluster
        server=Server(
            url=f"https://{host}:{port}", authority=authority.read_bytes() if authority.is_file() else None
        ),
        user=User(name="the pod's service account", token_file=token),
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )
