"""Which names secrets, groups and keys have. What is a name is also safe as a file's name.

bodywork.yaml of version "2" takes lower-case names only; the old forms took what they were given.
"""

from __future__ import annotations

import re

from bodywork.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST = 253


def check_name(name: str, what: str = "secret") -> str:
    """The name of a secret or, as `what` says, of a group. Raises UsageError."""
    if len(name) > LONGEST or not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a {what}",
            hint='names have letters, digits, "-", "_" and ".", and begin and end with a letter or digit',
        )
    return name


def check_key(key: str) -> str:
    """The name of an environment variable. Raises UsageError, which shows no more than the name."""
    if len(key) > LONGEST or not KEY.fullmatch(key):
        name, equals, _ = key.partition("=")
        if equals:
            raise UsageError(
                f"a value is never taken from the command line, where others can see it: {name}=...",
                hint="leave out the value; it is asked for, or read from stdin",
            )
        raise UsageError(
            f"{key!r} cannot be the key of a secret",
            hint='a key is the name of a variable: letters, digits and "_", not beginning with a digit',
        )
    return key
