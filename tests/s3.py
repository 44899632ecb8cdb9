"""A real S3 server for tests: versitygw over a folder, on a free port of loopback or of another address."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("versitygw")
KEY, SECRET = "test", "testtest"
VARIABLES = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


class Server:
    """An S3 server of which each folder in `root` is a bucket."""

    def __init__(self, root: Path, secret: str = SECRET, address: str = "127.0.0.1") -> None:
        self.root, self.secret = root, secret
        self.address, self.port = address, _free_port(address)
        self.endpoint = f"http://{address}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM
        options = ["--port", f"{self.address}:{self.port}", "--quiet"]
        credential = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": self.secret}  # `ps` shows no variables
        self._process = subprocess.Popen(
            [PROGRAM, *options, "posix", "--sidecar", str(self.root.parent / "meta"), str(self.root)],
            env={**os.environ, **credential},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((self.address, self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("the S3 server did not come up")

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def objects(self, bucket: str) -> dict[str, str]:
        """What a bucket of texts holds, by key, but for the mark of who keeps it."""
        return {key: data.decode() for key, data in self.contents(bucket).items()}

    def contents(self, bucket: str) -> dict[str, bytes]:
        """The same, of whatever it holds."""
        files = (path for path in (self.root / bucket).rglob("*") if path.is_file())
        return {
            path.relative_to(self.root / bucket).as_posix(): path.read_bytes()
            for path in files
            if path.name != "owner"
        }

    def file(self, bucket: str, key: str) -> Path:
        """The file in which the server keeps an object."""
        return self.root / bucket / key


@contextmanager
def server(folder: Path, *buckets: str, secret: str = SECRET, address: str = "127.0.0.1") -> Iterator[Server]:
    """A running server with these buckets, which keeps what it has under `folder`."""
    (folder / "meta").mkdir(parents=True)
    for bucket in buckets:
        (folder / "buckets" / bucket).mkdir(parents=True)
    running = Server(folder / "buckets", secret, address)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
