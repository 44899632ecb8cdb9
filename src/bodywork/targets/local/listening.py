"""Who listens where: looked up in the tables of this machine, for messages and for replicas that went astray.

psutil is imported when it is asked for, so that an agent that never asks stays small.
"""

from __future__ import annotations

import contextlib

ANY = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}


def sockets_of(pid: int) -> list[tuple[str, int]]:
    """The TCP addresses that a process and its children listen on, as (host, port), sorted."""
    import psutil

    found: set[tuple[str, int]] = set()
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
    for process in tree:
        with contextlib.suppress(psutil.Error, OSError):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr:
                    found.add((connection.laddr.ip, connection.laddr.port))
    return sorted(found)


def reachable(host: str) -> str | None:
    """The loopback address at which something that listens on `host` answers; None if at none."""
    if host in ANY:
        return ANY[host]
    return host if host.startswith("127.") or host == "::1" else None


def holder(port: int) -> str:
    """A clause that says which program listens at `port`."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            laddr = connection.laddr
            if connection.status != psutil.CONN_LISTEN or not laddr or laddr.port != port:
                continue
            if laddr.ip not in ANY:
                continue
            if connection.pid is None:
                break
            name = psutil.Process(connection.pid).name()
            return f"{name} (process {connection.pid}) listens at {laddr.ip}:{port}"
    return f"a program of another user listens at 0.0.0.0:{port}"
