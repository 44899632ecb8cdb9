"""Why the pod of a stage does not run, in words, and how long it is worth waiting for it.

What Kubernetes says is split over conditions of the pod, states of its containers and events. Some
of it passes by itself (no node has room, an image is being pulled), some never does (a secret that
is not there). Events are asked for only when the pod itself says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bodywork.targets.kubernetes.kinds import Object

STAGE = "stage"
BRINGS_UV = "uv"
"""The container that `manifests.containers.uv_for` makes."""

NO_ROOM = re.compile(r"(\d+) Insufficient (\S+)")
TAINT = re.compile(r"(\d+) node\(s\) had untolerated taint(?:\(s\)| \{([^}]*)\})")
NODES = re.compile(r"0/(\d+) nodes are available: ")
NO_SECRET = re.compile(r'secrets? "([^"]+)" not found')
NO_KEY = re.compile(r"couldn't find key (\S+) in Secret [^/ ]+/(\S+)")
NO_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
OF_PYTHON = re.compile(r"python(3\.\d+)$")

PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What keeps a pod from running.

    `reason` is a sentence with a next step; `kind` tells that it is still the same one when the words
    change. After `patience` seconds nothing suggests any more that
    it goes away by itself; None: it is waited for.
    """

    reason: str
    patience: float | None = None
    kind: str = ""


def obstacle(pod: Object, events: Iterable[Object] = ()) -> Obstacle | None:
    """What keeps the containers of a pod from running; None: nothing that is known of yet."""
    if (condition := condition_of(pod, "PodScheduled")) and condition.get("status") == "False":
        if condition.get("reason") == "SchedulingGated":
            return Obstacle(reason="its pod is held back by a scheduling gate of the cluster")
        return _unscheduled(pod, condition.get("message") or "")
    for status in containers_of(pod):
        waiting = (status.get("state") or {}).get("waiting")
        if waiting and (found := _waiting(pod, status, waiting)):
            return found
    return _event(pod, events)


def condition_of(pod: Object, kind: str) -> Mapping[str, Any] | None:
    found = [one for one in pod["status"].get("conditions") or () if one["type"] == kind]
    return found[0] if found else None


def containers_of(pod: Object) -> Iterator[Mapping[str, Any]]:
    """The states of its containers, in the order in which they start."""
    for key in ("initContainerStatuses", "containerStatuses"):
        yield from pod["status"].get(key) or ()


def stage_of(pod: Object) -> Mapping[str, Any] | None:
    """The state of the container in which the stage itself runs."""
    found = [one for one in pod["status"].get("containerStatuses") or () if one["name"] == STAGE]
    return found[0] if found else None


def limit_of(pod: Object, resource: str) -> str:
    """What the stage's container may use of a resource, as Kubernetes writes it; "" without a limit."""
    for container in pod["spec"]["containers"]:
        if container["name"] == STAGE:
            resources = container.get("resources") or {}
            limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
            return str(limits.get(resource) or requests.get(resource) or "")
    return ""


def _unscheduled(pod: Object, message: str) -> Obstacle:
    if claim := NO_CLAIM.search(message):
        name = claim[1]
        return Obstacle(
            reason=f"there is no persistent volume claim {name} in namespace "
            f"{pod['metadata']['namespace']}; create it, or name another one (kubernetes.cache)"
        )
    if "unbound immediate PersistentVolumeClaims" in message:
        return Obstacle(
            reason="a persistent volume claim of its pod has no volume yet: the cluster's storage has not "
            "made one (kubectl get persistentvolumeclaims tells more)"
        )
    nodes = NODES.match(message)
    if not nodes:
        return Obstacle(reason=f"no node can take it: {message or 'the scheduler does not say why'}")
    causes = message[nodes.end() :].partition(". ")[0].rstrip(".")
    told = [_cause(pod, cause, int(nodes[1])) for cause in causes.split(", ")]
    return Obstacle(reason=f"no node can take it: {'; '.join(told)}")


def _cause(pod: Object, cause: str, nodes: int) -> str:
    """One of the causes that the scheduler counts, in our words."""
    if found := NO_ROOM.fullmatch(cause):
        resource = found[2]
        asked = limit_of(pod, resource) if resource not in ("cpu", "memory") else _request(pod, resource)
        key = "gpu" if "gpu" in resource else resource
        few = f"{_count(found[1], nodes)} too little {resource} free"
        return f"{few}; it asks for {asked or '?'} (resources.{key})"
    if found := TAINT.match(cause):
        taint = f" {found[2]}" if found[2] else ""
        return f"{_count(found[1], nodes)} a taint{taint} that it does not tolerate (kubernetes.tolerations)"
    if "didn't match Pod's node affinity/selector" in cause:
        return f"{_count(cause.split()[0], nodes)} not the labels that it asks for (kubernetes.node_selector)"
    if "node(s) were unschedulable" in cause:
        return f"{_count(cause.split()[0], nodes)} been closed to new pods (kubectl cordon or drain)"
    return cause


def _count(number: str, nodes: int) -> str:
    if nodes == 1:
        return "the only node has"
    return f"{number} of {nodes} nodes {'has' if number == '1' else 'have'}"


def _request(pod: Object, resource: str) -> str:
    for container in pod["spec"]["containers"]:
        requests = (container.get("resources") or {}).get("requests") or {}
        if container["name"] == STAGE and resource in requests:
            return str(requests[resource])
    return limit_of(pod, resource)


def _waiting(pod: Object, status: Mapping[str, Any], waiting: Mapping[str, Any]) -> Obstacle | None:
    reason, message = waiting.get("reason") or "", waiting.get("message") or ""
    image = status.get("image") or ""
    if reason in PULLING:
        why = _pull_problem(message)
        return Obstacle(
            reason=f"image {image} cannot be pulled{why and f': {why}'}; {_image_step(pod, status, image)}",
            patience=60.0,
            kind="image",
        )
    if reason == "InvalidImageName":
        return Obstacle(
            reason=f'"{image}" is not the name of an image (--image, or image: of the stage)', patience=0.0
        )
    if reason == "ErrImageNeverPull":
        return Obstacle(
            reason=f"image {image} is not on its node, and may not be pulled; "
            f"{_image_step(pod, status, image)}",
            patience=10.0,
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError"):
        return _configuration(pod, message, image)
    if reason == "CrashLoopBackOff":
        return Obstacle(reason="it is started again and again, and ends each time")
    return None


def _image_step(pod: Object, status: Mapping[str, Any], image: str) -> str:
    """What to do for an image that nodes cannot have. A stage with an image of its own is brought uv."""
    own = any(one["name"] == BRINGS_UV for one in pod["spec"].get("initContainers") or ())
    if own and status["name"] == STAGE:
        return "name one that the cluster's nodes can pull (image: of the stage)"
    if python := OF_PYTHON.search(image):
        return (
            f"build it: scripts/image {image} --python {python[1]}, and push it to where the nodes "
            "pull from or load it into them; or name another one with --image"
        )
    return "name one that the cluster's nodes can pull with --image, or build it with scripts/image"


def _pull_problem(message: str) -> str:
    """The end of the chain of errors that the container runtime tells, without what repeats the name."""
    lowered = message.lower()
    for word, told in (
        ("not found", "there is no such image"),
        ("unauthorized", "the registry asks for a login (kubernetes.image_pull_secrets)"),
        ("authorization failed", "the registry asks for a login (kubernetes.image_pull_secrets)"),
        ("pull access denied", "there is no such image, or the registry asks for a login"),
        ("no such host", "its registry is not found by name"),
        ("toomanyrequests", "its registry has had too many requests"),
        ("timeout", "its registry does not answer"),
        ("refused", "its registry does not answer"),
    ):
        if word in lowered:
            return told
    return "" if message.startswith("Back-off") else message[-200:]


def _configuration(pod: Object, message: str, image: str) -> Obstacle:
    there = f"--target kubernetes --namespace {pod['metadata']['namespace']}"
    if found := NO_KEY.search(message):
        key, name = found[1], found[2]
        return Obstacle(
            reason=f"secret {name} has no key {key}; set it: bodywork secret set {name} {key} {there}",
            patience=10.0,
        )
    if found := NO_SECRET.search(message):
        return Obstacle(
            reason=f"there is no secret {found[1]}; make it: bodywork secret set {found[1]} KEY {there}",
            patience=10.0,
        )
    if "runAsNonRoot" in message:
        return Obstacle(
            reason=f"image {image} runs as root, which pods of bodywork never do; "
            "name a user in it (USER 1000)",
            patience=10.0,
        )
    return Obstacle(reason=f"its container cannot be made: {message}", patience=60.0)


def _event(pod: Object, events: Iterable[Object]) -> Obstacle | None:
    """What the newest telling event of the pod says."""
    for event in sorted(events, key=_time, reverse=True):
        reason, message = event.get("reason"), event.get("message") or ""
        if reason == "Pulling":
            return Obstacle(reason=f"image {_quoted(message)} is being pulled")
        if reason in ("FailedMount", "FailedAttachVolume"):
            if found := NO_SECRET.search(message):
                return Obstacle(reason=f"there is no secret {found[1]}, which its pod mounts", patience=120.0)
            return Obstacle(reason=f"a volume of its pod cannot be mounted: {message[:300]}")
        if reason == "FailedCreatePodSandBox":
            return Obstacle(reason=f"node {pod['spec']['nodeName']} cannot start its pod: {message[:300]}")
        if reason in ("Pulled", "Created", "Started"):
            return None
    return None


def _time(event: Object) -> str:
    found = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return str(found or "")


def _quoted(message: str) -> str:
    return message.split('"')[1] if message.count('"') > 1 else "of its container"
