"""What every pod of bodywork keeps to: Pod Security "restricted", and no token of the cluster."""

from __future__ import annotations

from bodywork.targets.kubernetes.kinds import Object

USER = 10001
"""Who containers run as: nobody in particular, and never root."""


def pod_security() -> Object:
    """Volumes that Kubernetes makes belong to the user's group, so that they can be written to."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
