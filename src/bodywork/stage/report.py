"""What a stage's pod says of its end: the termination message of its container, as JSON."""

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

ROOM = 4096  # bytes that Kubernetes keeps of it
HEAD = 300  # characters kept of the beginning of a reason that is too long; the rest is of its end
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
        fits, too_much = (
            0,
            len(self.reason) + 1,
        )  # characters kept: bisected, as what they take in JSON differs
        while too_much - fits > 1:
            kept = (fits + too_much) // 2
            if len(self._with_reason(kept)) <= ROOM:
                fits = kept
            else:
                too_much = kept
        return self._with_reason(fits)

    def _with_reason(self, kept: int) -> bytes:
        said: "Dict[str, Any]" = dict(vars(self))
        if kept < len(self.reason):
            head = min(HEAD, kept // 2)
            said["reason"] = self.reason[:head] + " … " + self.reason[len(self.reason) - kept + head :]
        return json.dumps(said).encode()
