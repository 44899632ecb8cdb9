"""Whether the kernel has killed a process of this container as its memory ran out."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

ROOT = "/sys/fs/cgroup"
PLACES: "Tuple[Tuple[str, str], ...]" = (
    ("memory.events", "memory.max"),
    ("memory/memory.oom_control", "memory/memory.limit_in_bytes"),
)
"""Where the count of kills and the limit are: cgroup version 2 and 1."""


def shortage(before: str = "") -> str:
    """`memory ran out (limit 512 MiB)` after the words `before`; empty when it did not."""
    for events, limit in PLACES:
        if any(line.startswith("oom_kill ") and line.strip() != "oom_kill 0" for line in lines(events)):
            return "%smemory ran out%s" % (before, words(lines(limit)))
    return ""


def words(content: "Tuple[str, ...]") -> str:
    """The limit in words; a container without one has the word `max`, or a number beyond any machine."""
    if not content or not content[0].isdigit() or int(content[0]) >> 60:
        return ""
    return " (limit %g MiB)" % round(int(content[0]) / 2**20, 1)


def lines(name: str) -> "Tuple[str, ...]":
    try:
        with open(os.path.join(ROOT, name)) as file:
            return tuple(line.strip() for line in file)
    except OSError:
        return ()
