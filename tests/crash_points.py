"""Every change that a run makes in a cluster, by name, and commands that are killed at them.

A name says what is changed: `create jobs first-RUN-1`, `record StageEnded first succeeded`. What is recorded
together has a name each, so that the names of an undisturbed run are always the same, whatever the timing.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from between import Between, status
from bodywork.run.events import Event, RunEnded, RunStarted, StageEnded, StageWaiting
from bodywork.run.record import decode_event
from bodywork.targets.kubernetes.lease.lease_object import holder_of
from bodywork.targets.kubernetes.records import entries, run_objects
from ground import Ground, Running
from loopback import Asked, Reply
from tool import wait_for

When = Literal["before", "after"]
VERBS = {"POST": "create", "PUT": "replace", "DELETE": "delete"}
RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
SOURCE = re.compile(r"^source-.*")
QUESTION = "selfsubjectaccessreviews"


def names_of(asked: Asked, pipeline: str) -> list[str]:
    """The names of what a request changes; none if it changes nothing of a run."""
    if asked.method == "GET" or asked.path.endswith(QUESTION):
        return []
    body = json.loads(asked.body) if asked.body else {}
    plural, _, name = asked.path.rpartition("/")
    if asked.method == "POST":
        plural, name = asked.path, body["metadata"]["name"]
    what = plural.rpartition("/")[2]
    if what == "leases":
        return _of_lease(asked.method, body)
    if what == "configmaps" and name.startswith("run-") and (asked.method == "PATCH" or "-events-" in name):
        return _recorded(body)
    applied = "apply" in asked.headers.get("content-type", "")
    verb = VERBS.get(asked.method) or ("apply" if applied else "patch")
    return [f"{verb} {what} {SOURCE.sub('source', RUN.sub('RUN', name).replace(pipeline, 'PIPELINE'))}"]


def _of_lease(method: str, lease: Mapping[str, Any]) -> list[str]:
    """Renewals come when they come, and change nothing."""
    if method not in ("POST", "PUT"):
        return [f"{VERBS.get(method, 'patch')} lease"]
    if holder_of(dict(lease)) is None:
        return ["give the lease back"]
    if lease["spec"]["acquireTime"] != lease["spec"]["renewTime"]:
        return []
    return ["take the lease" if lease["spec"]["leaseTransitions"] == 0 else "take the lease over"]


def _recorded(change: Mapping[str, Any]) -> list[str]:
    """The events that a request adds to the record of a run, and the release with the last one."""
    obj = dict(change)
    events = [decode_event(entries.text_of(obj, key) or "") for key in entries.event_keys(obj)]
    if not events:
        return [f"record that it is {json.loads(entries.text_of(obj, run_objects.WRITTEN) or '')['state']}"]
    release = ["record the release"] if "release" in entries.contents(obj) else []
    return [f"record {_told(event)}" for event in events if not isinstance(event, StageWaiting)] + release


def _told(event: Event) -> str:
    kind = type(event).__name__
    match event:
        case RunStarted(resumed=resumed):
            return f"{kind} again" if resumed else kind
        case RunEnded(state=state):
            return f"{kind} {state}"
        case StageEnded(stage=stage, state=state):
            return f"{kind} {stage} {state}"
        case _:
            number = getattr(event, "attempt", None)
            return f"{kind} {getattr(event, 'stage', '')}" + (f" {number}" if number else "")


class Killer:
    """Kills commands at the changes of these names, one after the other, each once.

    It does so `before` the cluster hears of the change, or `after` it was made, before the command hears
    of it. `made` are the names of all that was changed, `killed` the points that were met, `left` the others.
    """

    def __init__(self, ground: Ground, between: Between, when: When, points: Iterable[str] = ()) -> None:
        self.made: list[str] = []
        self.killed: list[str] = []
        self.left = set(points)
        self.code, self.text = 0, ""
        self._pipeline, self._when = ground.name, when
        self._child: subprocess.Popen[str] | None = None
        self._under_way = 0
        between.fault, between.heard = self._before, self._after

    def kills(self, running: Running) -> bool:
        """Whether the command was killed; `code` and `text` are what it gave."""
        self._child = running.child
        self.code, self.text = running.end(), running.text
        killed, self._child = self._child is None, None
        wait_for(lambda: not self._under_way, seconds=30)
        return killed

    def _before(self, asked: Asked) -> Reply | None:
        names = names_of(asked, self._pipeline)
        if not names:
            return None
        if self._when == "before":
            self._look(names)
        if self._child is None:
            return status(503, "Killed")
        self._under_way += 1
        return None

    def _after(self, asked: Asked, code: int) -> None:
        names = names_of(asked, self._pipeline)
        self._under_way -= bool(names)
        if names and code < 300:
            self.made += names
            if self._when == "after":
                self._look(names)

    def _look(self, names: list[str]) -> None:
        """What was under way when the command was killed for another change is met as well."""
        if not self.left.intersection(names) or (self._child is None and self._when == "before"):
            return
        self.left.difference_update(names)
        self.killed.append(f"{self._when} {' + '.join(names)}")
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            self._child = None
