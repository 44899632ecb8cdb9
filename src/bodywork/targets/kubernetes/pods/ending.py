"""How the container of a stage has ended: its own report, or what Kubernetes saw of it.

The runtime in the container writes a report to the termination message. It has none when the container
was killed as a whole, when the container never started, or when the node went away with it.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bodywork.targets.base import Ended
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.pods.diagnose import STAGE, condition_of, containers_of, limit_of, stage_of

DISRUPTIONS = {
    "EvictionByEvictionAPI": "it was evicted from its node (kubectl drain, or an autoscaler)",
    "PreemptionByScheduler": "it had to make room for a pod of higher priority",
    "PreemptionByKubeScheduler": "it had to make room for a pod of higher priority",
    "DeletionByTaintManager": "its node went away",
    "DeletionByPodGC": "its node went away",
    "TerminationByKubelet": "its node had to end it",
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """`lost` says why it was ended from outside, through no fault of its own; "" when it was not.

    `preparing`: the module had not been started. `restarts` counts those of the container.
    """

    ended: Ended
    lost: str = ""
    preparing: bool = False
    restarts: int = 0


def ending(pod: Object) -> Ending | None:
    """How the pod of a stage has ended; None while it has not."""
    terminated = _terminated(pod)
    if terminated is None:
        if pod["status"].get("phase") not in ("Failed", "Succeeded"):
            return None
        terminated = {"exitCode": None}
    ended = _ended(pod, terminated)
    return Ending(ended=ended, lost="" if ended.ok else _lost(pod))


def crash(pod: Object) -> Ending | None:
    """How a container of a service, which is started again each time, last ended; None: none has failed."""
    for status in containers_of(pod):
        for state in ("state", "lastState"):
            terminated = (status.get(state) or {}).get("terminated")
            if terminated and (status["name"] == STAGE or terminated.get("exitCode")):
                return _crashed(pod, status, terminated)
    return None


def over(pod: Object) -> bool:
    """Whether a pod of a service has ended for good: a container that exits by itself is started again."""
    if ending(pod) is None:
        return False
    return "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in ("Failed", "Succeeded")


def running(pod: Object) -> bool:
    """Whether the stage's container runs or has run, so that it has a log."""
    state = (stage_of(pod) or {}).get("state") or {}
    return "running" in state or "terminated" in state


def sentence_of(code: int | None) -> str:
    """`exited with 3`, `was killed by SIGKILL`: a container shows a signal N as 128 + N."""
    if code is not None and code > 128:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(code - 128).name}"
    return "ended, nobody knows how" if code is None else f"exited with {code}"


def _crashed(pod: Object, status: Mapping[str, Any], terminated: Mapping[str, Any]) -> Ending | None:
    if status["name"] != STAGE and "running" in (status.get("state") or {}):
        return None  # it is at it again
    report = _report(terminated.get("message") or "")
    return Ending(
        ended=_ended(pod, {"container": status["name"], **terminated}),
        preparing=status["name"] != STAGE or report.get("phase") == "preparing",
        restarts=int(status.get("restartCount") or 0),
    )


def _terminated(pod: Object) -> Mapping[str, Any] | None:
    """The end of the stage's container, or of a failed one before it."""
    for status in containers_of(pod):
        terminated: Mapping[str, Any] | None = (status.get("state") or {}).get("terminated")
        if terminated and (status["name"] == STAGE or terminated.get("exitCode")):
            return {"container": status["name"], **terminated}
    return None


def _ended(pod: Object, terminated: Mapping[str, Any]) -> Ended:
    report = _report(terminated.get("message") or "")
    code = terminated.get("exitCode")
    memory = _out_of_memory(pod, terminated, report)
    if memory:
        return _with(report, ok=False, reason=memory, exit_code=code)
    if report:
        reason = report.get("reason") or ""
        ok = code == 0 and not reason
        return _with(
            report, ok=ok, reason=reason or ("" if ok else sentence_of(code)), exit_code=_code(report)
        )
    if code == 0:
        return Ended(ok=False, reason="exited with 0, but its runtime left no report", exit_code=0)
    return Ended(ok=False, reason=_unreported(pod, terminated), exit_code=code)


def _report(message: str) -> dict[str, Any]:
    """What the runtime has written; empty when it has not."""
    with suppress(ValueError):
        document = json.loads(message)
        if isinstance(document, dict) and "phase" in document:
            return document
    return {}


def _with(report: Mapping[str, Any], *, ok: bool, reason: str, exit_code: int | None) -> Ended:
    return Ended(
        ok=ok,
        reason=reason,
        exit_code=exit_code,
        outputs=report.get("outputs") or {} if ok else {},
        peak_memory=report.get("peak_memory"),
        cpu_seconds=report.get("cpu_seconds"),
        retry=bool(report.get("retry", True)),
    )


def _code(report: Mapping[str, Any]) -> int | None:
    """The module's own; None where a signal ended it or it was never started, as for a process."""
    if report.get("phase") == "preparing" or report.get("signal"):
        return None
    return report.get("exit_code")


def _out_of_memory(pod: Object, terminated: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """The kernel ends the one process that it chooses: only a KILL of the module itself is its end."""
    if terminated.get("reason") != "OOMKilled" or terminated.get("exitCode") == 0:
        return ""
    if report and report.get("signal") != signal.SIGKILL and "SIGKILL" not in (report.get("reason") or ""):
        return ""
    limit = limit_of(pod, "memory")
    return f"ran out of memory{limit and f': its limit is {limit}'}; raise it (resources.memory)"


def _unreported(pod: Object, terminated: Mapping[str, Any]) -> str:
    name, status = terminated.get("container"), pod["status"]
    if status.get("reason") == "Evicted":
        return f"was evicted from its node: {(status.get('message') or '').strip().rstrip('.')}"
    if terminated.get("reason") in ("StartError", "ContainerCannotRun"):
        return f"could not be started: {(terminated.get('message') or '')[-300:]}"
    if name and name != STAGE:
        said = (terminated.get("message") or "").strip().rpartition("\n")[2].removeprefix("bodywork: ")
        return said or f"its container {name} {sentence_of(terminated.get('exitCode'))}"
    if terminated.get("exitCode") is None and status.get("message"):
        return f"failed: {status['message']}"
    return sentence_of(terminated.get("exitCode"))


def _lost(pod: Object) -> str:
    status = pod["status"]
    if "exceeds" in (status.get("message") or "") and status.get("reason") == "Evicted":
        return ""  # it used more than it may
    disruption = condition_of(pod, "DisruptionTarget")
    if disruption and disruption.get("status") == "True":
        reason = disruption.get("reason") or ""
        return DISRUPTIONS.get(reason, disruption.get("message") or reason or "it was ended from outside")
    if status.get("reason") in ("NodeLost", "NodeShutdown", "Terminated", "Shutdown", "NodeAffinity"):
        return f"its node went away ({status['reason']})"
    if status.get("reason") in ("Evicted", "Preempting"):
        return f"it was evicted: {(status.get('message') or '').strip().rstrip('.')}"
    if "deletionTimestamp" in pod["metadata"]:
        return "its pod was deleted"
    return ""
