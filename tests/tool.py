"""The tool as a user has it: real commands with a home of their own, and real Git repositories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATE = "2026-03-01T12:00:00+00:00"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Tool:
    """`bodywork` with a home of its own."""

    home: Path
    cache: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("BODYWORK", "XDG_", "PYTHONDONT"))}
        uv_cache = ours.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
        return ours | {
            "HOME": str(self.home),
            "BODYWORK_HOME": str(self.home / "state"),
            "BODYWORK_CACHE": str(self.cache),
            "UV_CACHE_DIR": uv_cache,
            "PYENV_ROOT": ours.get("PYENV_ROOT", str(Path.home() / ".pyenv")),
            **self.extra,
        }

    def start(self, *arguments: str, cwd: Path | None = None, **popen: Any) -> subprocess.Popen[str]:
        """Start a command; the test has to end it."""
        return subprocess.Popen(
            [sys.executable, "-m", "bodywork", *arguments],
            env=self.env,
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **popen,
        )

    def __call__(self, *arguments: str, cwd: Path | None = None, timeout: float = 120) -> Answer:
        with self.start(*arguments, cwd=cwd) as child:
            try:
                out, err = child.communicate(timeout=timeout)
            except BaseException:
                child.kill()
                raise
        return Answer(code=child.returncode, out=out, err=err)

    def told(self, *arguments: str, text: str | bytes) -> Answer:
        """A command that reads `text` from a pipe."""
        done = subprocess.run(
            [sys.executable, "-m", "bodywork", *arguments],
            env=self.env,
            cwd=self.home,
            input=text.encode() if isinstance(text, str) else text,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Answer(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def good(self, *arguments: str, cwd: Path | None = None, timeout: float = 120) -> Answer:
        """A command that has to succeed."""
        answer = self(*arguments, cwd=cwd, timeout=timeout)
        assert answer.code == 0, f"bodywork {arguments}: {answer.code}\n{answer.out}\n{answer.err}"
        return answer

    def processes(self) -> list[int]:
        """All processes that belong to this home: the agent, its watchdog, stages of any kind."""
        mark = f"BODYWORK_HOME={self.home / 'state'}".encode()
        marks = (mark, str(self.home / "state").encode() + b"/")
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                said = (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(one in said for one in marks):
                found.append(int(entry.name))
        return found


def wait_for(what: Callable[[], Any], seconds: float = 20, every: float = 0.05) -> Any:
    """Poll until `what()` is true, and return it; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if found := what():
            return found
        assert time.monotonic() < deadline, f"did not come true within {seconds} s: {what}"
        time.sleep(every)


@dataclass
class Repository:
    """A Git repository of a test."""

    path: Path

    def git(self, *arguments: str, date: str = DATE) -> str:
        env = os.environ | {
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.com",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    def commit(self, files: Mapping[str, str | bytes] | None = None, *, date: str = DATE) -> str:
        """Write files, commit everything and return the commit's id."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change", date=date)
        return self.git("rev-parse", "HEAD")
