"""Why a stage could not be prepared or its outputs not be kept: a sentence, and whether to try again."""

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict


class FailedError(Exception):
    """`retry` is true only where another attempt may end otherwise."""

    def __init__(self, sentence: str, retry: bool = False) -> None:
        super().__init__(sentence)
        self.retry = retry


class StoppedError(BaseException):
    """This process was sent a signal that ends it. Nothing but the end takes it for an error."""

    def __init__(self, signal: int) -> None:
        super().__init__("signal %d" % signal)
        self.signal = signal


ADVICE: "Dict[int, str]" = {
    errno.ENOSPC: "the disk is full; give the stage or its cache more room",
    errno.EDQUOT: "the quota of the disk is used up; give the stage or its cache more room",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "the user of the container may not write there",
}


def of_disk(error: OSError) -> FailedError:
    """What an error of the file system means. A full disk may be another one at the next attempt."""
    where = "%s: " % error.filename if error.filename else ""
    said = ADVICE.get(error.errno or 0) or error.strerror or str(error)
    return FailedError(
        where + said, retry=error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)
    )
