"""Standard streams that are not there, or go away: `>&-`, `| head`, a terminal that is closed."""

from __future__ import annotations

import errno
import os
import sys

GONE = (errno.EPIPE, errno.EIO)
"""What writing to a reader that has ended, and to a terminal that was closed, gives."""


def open_missing() -> None:
    """Give 0, 1 and 2 to nothing where they are closed: or else the next file that is opened is stdout."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def silence(error: OSError, *numbers: int) -> None:
    """What is written to the descriptors goes nowhere from now on; after the end of a terminal, all of it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in {*numbers, *((1, 2) if error.errno == errno.EIO else ())}:
        os.dup2(nowhere, number)
    os.close(nowhere)
