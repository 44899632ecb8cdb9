"""The environment of a stage in the cache of its pod: found there, or made from the lock.

The cache may be shared by pods that start at the same moment, on several nodes, and any of them may be
killed at any time. So an environment is made in a folder beside its place and renamed into it, under a
file lock; where file locks do not work the first one that is done wins. It has the name of its lock's
digest and of the Python that it was made for, since two images may have theirs in different places.

Nothing is compiled beforehand: Python keeps the bytecode of what the stage imports beside it, which
takes a fraction of the time of compiling all that is installed.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from bodywork.stage.turn import Turn
else:
    from turn import Turn
if TYPE_CHECKING:
    from typing import Callable

    from bodywork.stage.order import Lock


def provide(lock: "Lock", cache: str, work: str, say: "Callable[[str], None]") -> str:
    """The Python of the environment with exactly the packages of the lock. Raises FailedError, OSError."""
    folder = os.path.join(cache, "environments")
    path = os.path.join(folder, place(lock.digest))
    python = os.path.join(path, "bin", "python")
    if os.path.exists(python):
        return python
    os.makedirs(folder, exist_ok=True)
    with Turn(path + ".lock", say):
        if not os.path.exists(python):
            make(lock, path, cache, work, say)
    return python


def place(digest: str) -> str:
    """The name of an environment's folder, for the Python that we are."""
    what = "\0".join((os.path.realpath(sys.executable), sys.base_prefix, EXTENSION_SUFFIXES[0]))
    return "%s-%08x" % (digest[:32], crc32(what.encode()))


def make(lock: "Lock", path: str, cache: str, work: str, say: "Callable[[str], None]") -> None:
    """What is needed for that is only loaded now."""
    if TYPE_CHECKING or __package__:
        from bodywork.stage.building import Builder, sweep
    else:
        from building import Builder, sweep
    sweep(path)
    Builder(lock, path, cache, work, say).build()
