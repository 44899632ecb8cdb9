"""What locking and building give: a lock as plain data, and the folder that was built from it."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

Form = Literal["requirements", "pylock"]


@dataclass(frozen=True, kw_only=True)
class Lock:
    """Exactly one set of packages.

    `digest` is the SHA-256 (hexadecimal) of Python version, platform and `text`. `python` is the
    version as asked for ("3.12", "3.12.1"). `text` has the form of a requirements.txt, or of a
    pylock.toml, as `form` says. `as_of` is the date whose index the resolution saw; None: the
    project's own lock, or the index as it is. `build_as_of` is the date for what source
    distributions need while they are built. `undated` are packages whose index tells no upload
    times, so that no date holds for them.
    """

    digest: str
    python: str
    text: str
    form: Form
    as_of: datetime | None
    warnings: tuple[str, ...]
    build_as_of: datetime | None = None
    undated: tuple[str, ...] = ()

    @property
    def hashed(self) -> bool:
        """Whether every package has a hash; packages from Git have their commit instead."""
        lines = [line for line in self.text.splitlines() if line and not line.startswith("--")]
        return self.form == "pylock" or all("--hash=" in line for line in lines)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A built environment: its folder, and its interpreter in there."""

    path: Path
    python: Path


def digest_of(*, python: str, text: str, platform: str | None = None) -> str:
    """The name of a lock: the same packages for the same Python and platform have the same one."""
    return hashlib.sha256("\0".join(("lock 1", python, platform or machine(), text)).encode()).hexdigest()


def machine() -> str:
    """What a wheel must fit besides the Python: `linux-x86_64-glibc`, `darwin-arm64`."""
    parts = [sys.platform, platform.machine()]
    if sys.platform == "linux":
        parts.append("glibc" if _is_glibc() else "musl")
    return "-".join(parts)


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (OSError, ValueError):
        return False
