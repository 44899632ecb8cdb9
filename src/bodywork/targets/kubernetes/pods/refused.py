"""Why Kubernetes makes no pod for a Job or a Deployment: what it says in events and conditions.

The words are those with which the API server refused the pod: an exceeded quota, a Pod Security
level, a limit range, an account that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.pods.diagnose import Obstacle

QUOTA = re.compile(r"exceeded quota: (\S+), requested: (.*), used: (.*), limited: (.*)")
UNSAID = re.compile(r"failed quota: (\S+): must specify (.*) for: \S+")
SECURITY = re.compile(r'violates PodSecurity "([^"]+)": (.*)')
NO_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')
FORBIDDEN = re.compile(r'pods "[^"]*" is forbidden: (.*)', re.DOTALL)


def refused(events: Iterable[Object]) -> Obstacle | None:
    """Out of the events of a Job or ReplicaSet; None when nothing was refused."""
    said = [event.get("message") or "" for event in events if event.get("reason") == "FailedCreate"]
    return said_of(said[-1]) if said else None


def said_of(message: str) -> Obstacle:
    """What a refusal means. A full quota may empty; what is forbidden stays so."""
    if found := QUOTA.search(message):
        return _quota(*found.groups())
    if found := UNSAID.search(message):
        return Obstacle(
            reason=f"quota {found[1]} of its namespace wants each pod to say "
            f"{found[2].replace(',', ' and ')}; say it (resources.cpu, resources.memory)",
            patience=0.0,
        )
    if found := SECURITY.search(message):
        return Obstacle(
            reason=f"its namespace forbids the pod (Pod Security {found[1].partition(':')[0]}): {found[2]}",
            patience=0.0,
        )
    if found := NO_ACCOUNT.search(message):
        return Obstacle(
            reason=f"there is no service account {found[1]} in its namespace (kubernetes.service_account)",
            patience=20.0,
        )
    if found := FORBIDDEN.search(message):
        return Obstacle(reason=f"the cluster forbids its pod: {found[1]}", patience=5.0)
    return Obstacle(reason=f"Kubernetes cannot make its pod: {message}", patience=120.0)


def _quota(name: str, requested: str, used: str, limited: str) -> Obstacle:
    """One that has nothing in use and is exceeded all the same is too small for good."""
    hopeless = all(part.partition("=")[2] in ("0", "") for part in used.split(","))
    return Obstacle(
        reason=f"quota {name} of its namespace is exceeded: it asks for {requested}, in use is {used} "
        f"of {limited}; "
        + ("ask for less (resources)" if hopeless else "it starts when there is room")
        + ", or have the quota raised",
        patience=0.0 if hopeless else None,
    )
