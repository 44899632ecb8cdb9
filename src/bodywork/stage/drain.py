"""The time between the end of a pod and the end of its service.

When a pod is asked to end, the nodes of the cluster are told at the same moment, and send it new connections
until they have heard of it. So the service goes on for some seconds, and after them for as long as a client
is connected, within limits: a request that is being answered is finished, even by a server that ends at once
when it is asked to.
"""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

LONGEST = 25.0  # seconds; 10 more are left of a pod's grace for the module to end in
LOOK = 0.2
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
ESTABLISHED = "01"


class Drain:
    """`shortest` is in seconds. `sign` is the file that tells the service's processes, see `leaving.py`."""

    def __init__(self, shortest: float, port: "Optional[int]", sign: "Optional[str]") -> None:
        self._shortest = shortest
        self._port = port
        self._sign = sign
        self._ends = 0.0

    def begin(self) -> float:
        """The pod is to end. Gives the seconds until it is worth asking `left`."""
        self._ends = time.monotonic() + max(LONGEST, self._shortest)
        if self._sign is not None:
            try:
                with open(self._sign, "w"):
                    pass
            except OSError:
                pass  # a full disk: clients are cut off, which most of them are prepared for
        return self._shortest

    def left(self) -> float:
        """The seconds until it is worth asking again; 0: it is over."""
        if self._port is None or time.monotonic() >= self._ends or not connected(self._port):
            return 0.0
        return LOOK


def connected(port: int) -> bool:
    """Whether a client is connected to a port of this container."""
    wanted = ":%04X" % port
    for table in TABLES:
        try:
            with open(table) as lines:
                for line in lines:
                    fields = line.split(None, 4)
                    if len(fields) > 3 and fields[3] == ESTABLISHED and fields[1].endswith(wanted):
                        return True
        except OSError:  # not Linux, or no IPv6
            continue
    return False
