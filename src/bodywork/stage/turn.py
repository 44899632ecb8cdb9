"""One pod at a time makes something in a shared cache, where its file system knows locks."""

import errno
import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


class Turn:
    """Held while it is our turn. A pod that is killed gives its turn back."""

    def __init__(self, path: str, say: "Callable[[str], None]") -> None:
        self._path = path
        self._say = say

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not take(self._descriptor):
                self._say("waiting for another pod, which makes the same packages ready")
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise

    def __exit__(self, *ended: object) -> None:
        os.close(self._descriptor)


def take(descriptor: int) -> bool:
    """Lock an open file, unless another process has it locked. Raises OSError where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
