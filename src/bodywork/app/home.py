"""Where bodywork keeps what it must not lose ($BODYWORK_HOME), and what it can make again (the cache)."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bodywork.errors import MachineError


@dataclass(frozen=True, kw_only=True)
class Home:
    """The two folders. State: database, logs, locks of environments, artifacts, secrets, services."""

    state: Path
    cache: Path

    @classmethod
    def find(cls, ours: Mapping[str, str]) -> Home:
        """$BODYWORK_HOME and $BODYWORK_CACHE, else the folders of the XDG base directory specification."""
        home = Path(ours.get("HOME") or Path.home())
        data = Path(ours.get("XDG_DATA_HOME") or home / ".local" / "share")
        cache = Path(ours.get("XDG_CACHE_HOME") or home / ".cache")
        return cls(
            state=Path(ours.get("BODYWORK_HOME") or data / "bodywork").absolute(),
            cache=Path(ours.get("BODYWORK_CACHE") or cache / "bodywork").absolute(),
        )

    def make(self, *, cache: bool = True) -> None:
        """Make both folders, or the first only. Raises MachineError when they cannot be written to."""
        both = ((self.state, "BODYWORK_HOME"), (self.cache, "BODYWORK_CACHE"))
        for folder, variable in both if cache else both[:1]:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                writable = os.access(folder, os.W_OK)
            except OSError as error:
                raise MachineError(
                    f"cannot make the folder {folder}: {error.strerror}",
                    hint=f"set {variable} to a folder that you may write to",
                ) from error
            if not writable:
                raise MachineError(
                    f"cannot write to the folder {folder}",
                    hint=f"set {variable} to a folder that you may write to",
                )

    @property
    def database(self) -> Path:
        return self.state / "history.db"

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    @property
    def artifact_turns(self) -> Path:
        return self.state / "artifact-turns"

    @property
    def owner(self) -> str:
        """The name under which this home keeps things where others do, too; made up once.

        Raises MachineError when it cannot be written down.
        """
        path = self.state / "owner"
        if not path.exists():
            self.make(cache=False)
            host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower())[:40].strip("-")
            fresh = path.with_name(f".owner-{secrets.token_hex(4)}")
            fresh.write_text(f"{host or 'machine'}-{secrets.token_hex(4)}\n")
            with contextlib.suppress(FileExistsError):  # another command was faster: its name counts
                os.link(fresh, path)
            fresh.unlink()
        return path.read_text().strip()

    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    @property
    def locks(self) -> Path:
        """Texts of environments' locks, by digest."""
        return self.state / "environments"

    def firing_log(self, schedule: str, number: int) -> Path:
        """What the command has to say that carries out a firing of a schedule."""
        return self.state / "schedules" / schedule / f"{number}.log"

    def pipeline_lock(self, target: str, pipeline: str) -> Path:
        """The lock file of a pipeline on a target; no two names share one."""
        return self.state / "pipelines" / f"{target}.{quote(pipeline, safe='')}.lock"
