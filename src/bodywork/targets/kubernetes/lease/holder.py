"""Who carries out a run, named so that another command can find out whether it still lives.

A process is named by the boot of its machine, its pid namespace, its pid and its start time: on
the same machine its end is seen at once, and neither a pid used again nor a container with pids
of its own is taken for it. A pod is asked for at the API server. Nothing can be found out about a
process of another machine; there, only silence tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bodywork.errors import ForbiddenError
from bodywork.process.identity import alive, identity
from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import POD

BOOT = Path("/proc/sys/kernel/random/boot_id")
PIDS = Path("/proc/self/ns/pid")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`who` says it in words; the rest is empty where it does not apply or cannot be known."""

    who: str
    machine: str = ""
    process: str = ""
    namespace: str = ""
    pod: str = ""
    uid: str = ""

    @classmethod
    def of_this_process(cls) -> Identity:
        pid = os.getpid()
        who = f"process {pid} on {socket.gethostname()}"
        return cls(who=who, machine=_machine(), process=identity(pid) or "")

    @classmethod
    def of_pod(cls, namespace: str, pod: str, uid: str) -> Identity:
        return cls(who=f"pod {pod} in namespace {namespace}", namespace=namespace, pod=pod, uid=uid)

    def encode(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    @classmethod
    def decode(cls, text: str, otherwise: str) -> Identity:
        """What `encode` wrote; of anything else, somebody called `otherwise`."""
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            known = {name: str(value) for name, value in json.loads(text).items() if name in KNOWN}
            return cls(**{"who": otherwise, **known})
        return cls(who=otherwise)


KNOWN = tuple(Identity.__dataclass_fields__)


async def lives(api: Api, who: Identity) -> bool | None:
    """Whether a holder is there; None: that cannot be found out.

    A pod may be on a node that is lost, and would still be listed: only its end is certain.
    """
    if who.pod:
        return False if await _pod_has_ended(api, who) else None
    return _runs(who.process) if who.machine and who.machine == _machine() else None


async def _pod_has_ended(api: Api, who: Identity) -> bool:
    try:
        pod = await api.get(POD, who.pod, who.namespace)
    except ForbiddenError:
        return False
    if pod is None or (who.uid and pod["metadata"]["uid"] != who.uid):
        return True
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _runs(process: str) -> bool:
    if alive(process):
        return True
    pid = process.partition(":")[0]
    if pid.isdigit() and identity(int(pid)) is None:
        try:
            os.kill(int(pid), 0)
        except PermissionError:  # it is there: /proc may hide processes of other users (hidepid)
            return True
        except ProcessLookupError:
            return False
    return False  # a zombie, or another process that was given its pid


def _machine() -> str:
    """This boot of this machine, and this pid namespace; "" where that cannot be told."""
    if sys.platform != "linux":
        return ""
    try:
        return f"{BOOT.read_text().strip()} {PIDS.readlink()}"
    except OSError:
        return ""
