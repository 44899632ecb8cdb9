"""Where a service listens on this machine: a loopback address of its own, at its declared port.

Linux answers on all of 127.0.0.0/8, so services that declare the same port do not meet. Where only
127.0.0.1 is up (macOS), they share it and take another port when the declared one is taken; the
hosts file then tells the port too. `BODYWORK_LOOPBACK=single` forces that.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bodywork.errors import MachineError
from bodywork.targets.local.listening import holder

LOCALHOST = "127.0.0.1"
TRIES = 8
BACKLOG = 1024


@dataclass(frozen=True, kw_only=True)
class Place:
    """An address that is listened on: `sock` is bound to `host`:`port`."""

    sock: socket.socket
    host: str
    port: int


def candidates(home: Path, pipeline: str, stage: str) -> Iterator[str]:
    """Addresses in 127.64.0.0/10, always the same for a service; no end of them."""
    for attempt in itertools.count():
        seed = f"{home}\0{pipeline}\0{stage}\0{attempt}".encode()
        number = int.from_bytes(hashlib.sha256(seed).digest()[:4], "big")
        last = number % 254 + 1
        yield f"127.{64 + (number >> 24) % 64}.{(number >> 16) % 256}.{last}"


def single_loopback() -> bool:
    """Whether 127.0.0.1 is the only loopback address that is up."""
    return sys.platform == "darwin" or os.environ.get("BODYWORK_LOOPBACK") == "single"


def claim(home: Path, pipeline: str, stage: str, port: int, *, remembered: str | None = None) -> Place:
    """Listen for a service at `port`, at its `remembered` address if it had one.

    Raises MachineError, in words, when this machine does not let us.
    """
    service = f"service {stage} of {pipeline}"
    addresses: Iterator[str] = itertools.islice(candidates(home, pipeline, stage), TRIES)
    if single_loopback():
        addresses = iter([LOCALHOST])
    elif remembered is not None:
        addresses = itertools.chain([remembered], addresses)
    for address in addresses:
        try:
            return _listen(address, port)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                break
            if error.errno != errno.EADDRINUSE:
                raise _refused(service, port, error) from error
            if address == LOCALHOST:
                break
    else:
        raise MachineError(
            f"{service} cannot listen at port {port}: {holder(port)}",
            hint=f"end that program, or give the service another port than {port}",
        )
    try:
        return _listen(LOCALHOST, port)
    except OSError:
        return _listen(LOCALHOST, 0)


def free_port(taken: set[int]) -> int:
    """A port of 127.0.0.1 that nothing listens on now and that is not in `taken`."""
    while True:
        with socket.socket() as sock:
            sock.bind((LOCALHOST, 0))
            port = int(sock.getsockname()[1])
        if port not in taken:
            return port


def port_is_free(port: int) -> bool:
    """Whether a server could bind `port` of 127.0.0.1."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def _listen(address: str, port: int) -> Place:
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return Place(sock=sock, host=address, port=int(sock.getsockname()[1]))


def _refused(service: str, port: int, error: OSError) -> MachineError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return MachineError(
            f"{service} cannot listen at port {port}: ports below 1024 need a right that this user lacks",
            hint="declare a port from 1024 up, or lower the limit: "
            f"`sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`",
        )
    return MachineError(f"{service} cannot listen at port {port}: {error.strerror}")
