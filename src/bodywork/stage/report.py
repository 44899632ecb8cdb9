"""What a stage's pod says of its end: the termination message of its container, as JSON."""

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

ROOM = 4096  # bytes that Kubernetes keeps of it
HEAD = 300  # characters of a reason that is too long; the rest is kept of its end
PATH = "/dev/termination-log"


class Report:
    """It is filled while the stage goes on, and written once."""

    def __init__(self) -> None:
        self.phase = "preparing"
        self.exit_code = 0
        self.signal: "Optional[int]" = None
        self.reason = ""
        self.retry = True
        self.outputs: "Dict[str, str]" = {}
        self.peak_memory: "Optional[int]" = None
        self.cpu_seconds: "Optional[float]" = None
        self.began: "Optional[float]" = None

    def write(self) -> None:
        """A pod that cannot be told of its end has ended all the same."""
        try:
            with open(os.environ.get("BODYWORK_TERMINATION_LOG", PATH), "wb") as file:
                file.write(self.content())
        except OSError:
            pass

    def content(self) -> bytes:
        """All of it, with as much of the reason as there is room for."""
        said: "Dict[str, Any]" = dict(vars(self))
        data = json.dumps(said).encode()
        kept = len(self.reason)
        while len(data) > ROOM and kept > HEAD:
            kept = max(HEAD, kept - max(1, (len(data) - ROOM) // 6))
            said["reason"] = self.reason[:HEAD] + " … " + self.reason[len(self.reason) - kept + HEAD :]
            data = json.dumps(said).encode()
        return data
