"""A package index on loopback, and the wheels for it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bodywork.environment import Environment, Environments
from bodywork.process import Completed, run

OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""The Python that the tests run on: it is there for certain."""


class Quiet(SimpleHTTPRequestHandler):
    """Lists a folder's files with their hashes."""

    index: Index

    def do_GET(self) -> None:
        if self.path.endswith(".whl"):
            self.index.wait()
        with contextlib.suppress(ConnectionError):
            super().do_GET()

    def list_directory(self, path: str | os.PathLike[str]) -> io.BytesIO:
        files = [file for file in sorted(Path(path).iterdir()) if file.is_file()]
        hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        links = "".join(f'<a href="{name}#sha256={digest}">{name}</a>' for name, digest in hashes.items())
        page = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        return io.BytesIO(page)

    def log_message(self, *_: object) -> None:
        pass


class Index:
    """A simple index of files in a folder: it tells no upload times, as such indexes do not."""

    def __init__(self, folder: Path, server: ThreadingHTTPServer) -> None:
        self.folder = folder
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.asked = threading.Event()
        self._free = threading.Event()
        self._free.set()

    def hold(self) -> None:
        """Deliver no wheel until `release`; `asked` is set once one is wanted."""
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def wait(self) -> None:
        self.asked.set()
        self._free.wait(60)

    def add(
        self, name: str, version: str, *, needs: str = "", files: Mapping[str, str] | None = None
    ) -> Path:
        (self.folder / name.replace("_", "-")).mkdir(exist_ok=True)
        return wheel(self.folder / name.replace("_", "-"), name, version, needs=needs, files=files)

    def stop(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()


def wheel(
    folder: Path, name: str, version: str, *, needs: str = "", files: Mapping[str, str] | None = None
) -> Path:
    """A wheel with a module `<name>` whose VERSION is its version, and a command of the same name."""
    info = f"{name}-{version}.dist-info"
    requires = f"Requires-Dist: {needs}\n" if needs else ""
    content = {
        f"{name}.py": f"VERSION = {version!r}\n\n\ndef main():\n    print(VERSION)\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{file},{record_hash(text)},{len(text)}\n" for file, text in content.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**content, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return path


def record_hash(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return "sha256=" + digest.rstrip(b"=").decode()


Make = Callable[..., Environments]


def python(environment: Environment, code: str, **variables: str) -> Completed:
    """Run code in the environment."""
    env = {"PATH": os.environ["PATH"], **variables}
    return run([str(environment.python), "-c", code], env=env, cwd=environment.path)
