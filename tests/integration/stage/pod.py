"""A stage's pod without a cluster: its folders, what it is told, and the runtime as a real process."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .conftest import PATIENCE, STAGE

EMPTY = {
    "file": "",
    "digest": "e" * 64,
    "form": "requirements",
    "hashed": True,
    "build_as_of": None,
    "undated": [],
    "empty": True,
}


@dataclass(frozen=True)
class Ended:
    """What a pod left: its exit code, what it printed, and its termination message."""

    code: int
    output: str
    said: Mapping[str, Any]

    @property
    def own(self) -> list[str]:
        """The lines of the module."""
        return [line for line in self.output.splitlines() if not line.startswith("bodywork: ")]

    @property
    def ours(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("bodywork: ")]


@dataclass
class Pod:
    """The folders `/bodywork`, `/work` and `/cache` below `folder`; `change` is what differs in the order."""

    folder: Path
    python: str = sys.executable
    version: str = f"{sys.version_info[0]}.{sys.version_info[1]}"
    cache: Path | None = None
    change: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    """What the runtime is started by."""

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def project(self, files: Mapping[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self.folder / "project.tar.gz", "w:gz") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))

    def lock(self, text: str, *, digest: str, **more: Any) -> dict[str, Any]:
        """A lock as one of the files of the run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"lock-{digest[:16]}.gz"
        file.write_bytes(gzip.compress(text.encode()))
        return {**EMPTY, "file": str(file), "digest": digest, "empty": False, **more}

    @property
    def order(self) -> dict[str, Any]:
        return {
            "stage": "train",
            "source": str(self.folder / "project.tar.gz"),
            "project": str(self.work / "project"),
            "run": "pipeline/train.py",
            "args": [],
            "python": self.version,
            "lock": EMPTY,
            "cache": str(self.cache or self.folder / "cache"),
            "outputs": [],
            "inputs": [],
            "timeout": None,
            "prepare_timeout": 60.0,
            "drain": 0.0,
            "secrets": [],
            "port": None,
            **self.change,
        }

    def start(self) -> Running:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("SSL_", "UV_", "LANG"))}
        message = self.folder / "termination-log"
        message.touch()
        variables = {
            **kept,
            "PATH": os.environ["PATH"],
            "BODYWORK_LAUNCH": json.dumps(self.order),
            "BODYWORK_TERMINATION_LOG": str(message),
            **self.variables,
        }
        log = (self.folder / "output").open("wb")
        with log:
            process = subprocess.Popen(
                [*self.before, self.python, "-I", "-S", str(STAGE / "launch.py")],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(self, process)

    def run(self, module: str | None = None) -> Ended:
        if module is not None:
            self.project({"pipeline/train.py": module})
        return self.start().wait()


@dataclass
class Running:
    """The runtime of a pod while it runs."""

    pod: Pod
    process: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        return (self.pod.folder / "output").read_text(errors="replace")

    def until(self, text: str) -> None:
        """Wait for something that it prints."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self.process.poll() is None and time.monotonic() < deadline, self.output
            time.sleep(0.01)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """As the end of a container: all of its processes."""
        main = psutil.Process(self.process.pid)
        main.suspend()  # so that it starts no other meanwhile
        for process in (*main.children(recursive=True), main):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def wait(self) -> Ended:
        code = self.process.wait(PATIENCE)
        message = (self.pod.folder / "termination-log").read_text()
        return Ended(code, self.output, json.loads(message) if message else {})
