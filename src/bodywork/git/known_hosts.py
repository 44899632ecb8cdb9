"""The file of known hosts, as it is written to: nothing of it is lost, whoever reads or dies meanwhile."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from bodywork.errors import UsageError
from bodywork.git.hosts import Host, HostKey, Known


def add(host: Host, keys: Sequence[HostKey]) -> None:
    """Write the keys of a host at the end. A new file gets mode 600, a new folder 700.

    Raises UsageError when it cannot be written.
    """
    try:
        host.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = os.open(host.file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "ab") as file:
            size = os.fstat(opened).st_size
            whole = size == 0 or os.pread(opened, 1, size - 1) == b"\n"
            file.write((b"" if whole else b"\n") + lines(host, keys))
    except OSError as error:
        raise _unwritable(host.file, error) from None


def replace(host: Host, old: Sequence[Known], keys: Sequence[HostKey]) -> None:
    """Put the keys of a host in the place of `old` ones.

    Raises UsageError when an old one is in a file of the whole machine or belongs to a pattern of
    names: to take it away would concern others.
    """
    for one in old:
        _check_own(host, one)
    gone = {one.line for one in old}
    file = Path(os.path.realpath(host.file))
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        before = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        kept = b"".join(line for number, line in enumerate(before, start=1) if number not in gone)
        if kept and not kept.endswith(b"\n"):
            kept += b"\n"
        mode = file.stat().st_mode & 0o777 if before else 0o600
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(opened, "wb") as written:
            written.write(kept + lines(host, keys))
        part.replace(file)
    except OSError as error:
        raise _unwritable(file, error) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _check_own(host: Host, one: Known) -> None:
    if one.file != host.file:
        raise UsageError(
            f"the old key of {host.name} is in line {one.line} of {one.file}, which is not this user's file",
            hint="have that line taken out there",
        )
    if not one.names.startswith("|") and any(letter in one.names for letter in "*?!,"):
        raise UsageError(
            f"the old key of {host.name} is in line {one.line} of {one.file}, for several names: {one.names}",
            hint=f"take {host.name} out of that line first: $EDITOR +{one.line} {shlex.quote(str(one.file))}",
        )


def lines(host: Host, keys: Sequence[HostKey]) -> bytes:
    """As they stand in the file; the name is hashed when ssh's configuration says so."""
    return "".join(f"{_name(host)} {key.kind} {key.text}\n" for key in keys).encode()


def _name(host: Host) -> str:
    """`|1|SALT|HMAC-SHA1 of the name` is OpenSSH's form of a hashed one."""
    if not host.hashed:
        return host.name
    salt = os.urandom(20)
    digest = hmac.digest(salt, host.name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def _unwritable(file: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{file} cannot be written: {error.strerror}", hint="make the file and its folder writable for you"
    )
