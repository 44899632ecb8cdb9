"""What this machine has and lacks for running projects, and how to get what it lacks."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from bodywork.app.parts import Parts
from bodywork.errors import BodyworkError

OLDEST_GIT = (2, 30)
LITTLE_SPACE = 2 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. `advice` says how to get what is missing."""

    name: str
    state: Literal["ok", "warning", "missing"]
    found: str
    advice: str = ""


def examine(parts: Parts) -> Iterator[Finding]:
    """All findings for the local target, one by one."""
    checks: tuple[Callable[[Parts], Finding], ...] = (
        _python,
        _git,
        _git_lfs,
        _uv,
        _folders,
        _history,
        _space,
        _loopback,
        _secrets,
        _agent,
    )
    for check in checks:
        yield check(parts)


def _python(_: Parts) -> Finding:
    return Finding(name="python", state="ok", found=f"{sys.version.split()[0]} at {sys.executable}")


def _git(_: Parts) -> Finding:
    from bodywork.process import CommandError, run

    advice = "install it: apt install git, dnf install git or brew install git"
    try:
        words = run(["git", "--version"], timeout=10).stdout.split()
    except (FileNotFoundError, CommandError):
        return Finding(name="git", state="missing", found="not found", advice=advice)
    version = tuple(int(part) for part in words[2].split(".")[:2])
    good = version >= OLDEST_GIT
    return Finding(
        name="git",
        state="ok" if good else "missing",
        found=words[2],
        advice="" if good else f"2.30 or newer is needed; {advice}",
    )


def _git_lfs(_: Parts) -> Finding:
    if path := shutil.which("git-lfs"):
        return Finding(name="git-lfs", state="ok", found=path)
    return Finding(
        name="git-lfs",
        state="warning",
        found="not found",
        advice="only needed for repositories that use it: apt install git-lfs or brew install git-lfs",
    )


def _uv(_: Parts) -> Finding:
    import uv

    try:
        return Finding(name="uv", state="ok", found=uv.find_uv_bin())
    except FileNotFoundError:
        return Finding(
            name="uv",
            state="missing",
            found="not found",
            advice="install bodywork again: pip install bodywork",
        )


def _folders(parts: Parts) -> Finding:
    try:
        parts.home.make()
    except BodyworkError as error:
        return Finding(name="folders", state="missing", found=error.message, advice=error.hint or "")
    return Finding(name="folders", state="ok", found=f"{parts.home.state}, cache {parts.home.cache}")


def _history(parts: Parts) -> Finding:
    try:
        pipelines = len(parts.history.pipelines())
    except BodyworkError as error:
        return Finding(name="history", state="missing", found=error.message, advice=error.hint or "")
    found = f"{pipelines} pipeline{'' if pipelines == 1 else 's'} in {parts.home.database}"
    return Finding(name="history", state="ok", found=found)


def _space(parts: Parts) -> Finding:
    try:
        free = shutil.disk_usage(parts.home.cache).free
    except OSError as error:
        return Finding(name="disk", state="warning", found=str(error))
    low = free < LITTLE_SPACE
    return Finding(
        name="disk",
        state="warning" if low else "ok",
        found=f"{free / 1024**3:.1f} GiB free at {parts.home.cache}",
        advice="environments of ML packages take some GiB: free some space" if low else "",
    )


def _loopback(_: Parts) -> Finding:
    """Each service has a loopback address of its own, where the system has more than one."""
    with socket.socket() as one:
        try:
            one.bind(("127.64.0.1", 0))
        except OSError:
            return Finding(
                name="loopback",
                state="warning",
                found="only 127.0.0.1 is up",
                advice="services work, on ports of 127.0.0.1 that `bodywork status` shows",
            )
    return Finding(name="loopback", state="ok", found="127.0.0.0/8")


def _secrets(parts: Parts) -> Finding:
    """Stages are refused a secret that others can open."""
    entries, exposed = parts.secrets.entries(), parts.secrets.exposed()
    if exposed:
        return Finding(
            name="secrets",
            state="warning",
            found=f"others can open {', '.join(map(str, exposed))}",
            advice=f"chmod 600 {shlex.join(map(str, exposed))}",
        )
    keys = sum(len(entry.keys) for entry in entries)
    return Finding(
        name="secrets", state="ok", found=f"{keys} keys of {len(entries)} secrets" if keys else "none"
    )


def _agent(parts: Parts) -> Finding:
    try:
        status = asyncio.run(parts.agent.status())
    except BodyworkError as error:
        return Finding(name="agent", state="warning", found=error.message, advice=error.hint or "")
    if status is None:
        return Finding(name="agent", state="ok", found="not running (it starts with the first service)")
    return Finding(name="agent", state="ok", found=f"running, process {status.pid}")
