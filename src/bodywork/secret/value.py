"""The value of a key, and the file that holds it.

One newline at the end of a file does not count, as editors put one there; bodywork itself always writes
one, so that a value that ends with a newline keeps it.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from bodywork.errors import NotFoundError, UsageError

MOST = 128 * 1024 - 1
"""Bytes of a variable, with its name and `=`, that Linux takes (execve(2), MAX_ARG_STRLEN)."""


def value_of(data: bytes, key: str) -> str:
    """The text that a program or file gave for `key`. Raises UsageError, which does not show it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UsageError(
            f"the value of {key} is not text, which is all that a variable can hold",
            hint="encode it, and decode it in the stage: base64 FILE | bodywork secret set NAME KEY",
        )
    if len(key) + 1 + len(data) > MOST:
        raise UsageError(
            f"the value of {key} is longer than a variable may be: {MOST // 1024} KiB",
            hint="keep it elsewhere, and what opens it as a secret",
        )
    return text


def read_value(path: Path, key: str) -> str:
    """What a file holds for `key`.

    Raises NotFoundError when there is none, UsageError when others than its owner may open it or
    when it is no text.
    """
    try:
        with path.open("rb") as file:
            check_mode(path, os.fstat(file.fileno()).st_mode)
            data = file.read(MOST + 2)
    except FileNotFoundError:
        raise NotFoundError(f"there is no {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return value_of(data.removesuffix(b"\n"), key)


def check_mode(path: Path, mode: int) -> None:
    """Raises UsageError when others than the owner may open a file of that mode."""
    if is_open(mode):
        raise UsageError(
            f"others can open {path}, which holds a secret (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {shlex.quote(str(path))}",
        )


def is_open(mode: int) -> bool:
    return bool(mode & 0o077)
