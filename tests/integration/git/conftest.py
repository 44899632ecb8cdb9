"""Real repositories in temporary folders, and real servers on loopback for them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bodywork.git import Git

WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "tester"), ("EMAIL", "tester@localhost"))
}


class Repository:
    """A working tree that a test writes to."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self.path = path
        self._environment = environment

    def git(self, *arguments: str, date: str | None = None) -> str:
        dates = {} if date is None else {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.path,
            env={**self._environment, **dates},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def commit(self, message: str = "change", *, date: str = "2024-01-01T12:00:00+0000", **files: str) -> str:
        for name, content in files.items():
            self.write(name, content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, date=date)
        return self.git("rev-parse", "HEAD")


@dataclass
class Machine:
    """A HOME of its own, a cache, and what `Git` told of its progress."""

    home: Path
    environment: dict[str, str]
    cache: Path
    told: list[str] = field(default_factory=list)

    def open_git(self, **more: str) -> Git:
        return Git(self.cache, environment={**self.environment, **more}, progress=self.told.append)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_"))}
    environment = {**kept, **WHO, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "XDG_CONFIG_HOME": str(home)}
    return Machine(home=home, environment=environment, cache=tmp_path / "cache")


@pytest.fixture
def git(machine: Machine) -> Git:
    return machine.open_git()


@pytest.fixture
def new_repository(tmp_path: Path, machine: Machine) -> Callable[[str], Repository]:
    """Makes an empty repository in a folder of the given name."""

    def make(name: str) -> Repository:
        path = tmp_path / name
        path.mkdir(parents=True)
        repository = Repository(path, machine.environment)
        repository.git("init", "--quiet", "-b", "main")
        return repository

    return make


@pytest.fixture
def repository(new_repository: Callable[[str], Repository]) -> Repository:
    """One commit with the files a.txt and models/b.txt."""
    made = new_repository("project")
    made.write("models/b.txt", "b\n")
    made.commit("first", **{"a.txt": "a\n"})
    return made


@dataclass
class WebServer:
    """`git http-backend` behind a web server. `user` and `password`, when set, are asked for.

    `old_protocol` answers as servers did before version 2 of the protocol, `dumb` serves files.
    `strike` is called in the middle of the answer to request number `strike_at`, which then ends.
    `forbidden`: whoever it knows may still not read. `moved` sends from old paths to new ones. `asked`
    is called at each request. `lfs` are the contents that Git LFS may ask for, by their SHA-256.
    """

    root: Path
    environment: dict[str, str]
    port: int = 0
    user: str = ""
    password: str = ""
    broken: bool = False
    old_protocol: bool = False
    dumb: bool = False
    strike_at: int = -1
    strike: Callable[[], None] = lambda: None
    forbidden: bool = False
    moved: dict[str, str] = field(default_factory=dict)
    asked: Callable[[], None] = lambda: None
    lfs: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    def keep_in_lfs(self, content: bytes) -> str:
        """Have a content for Git LFS; returns the pointer that stands for it in a repository."""
        name = hashlib.sha256(content).hexdigest()
        self.lfs[name] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(content)}\n"

    def lfs_batch(self, body: bytes) -> bytes:
        """What the host answers to Git LFS that wants to download (its batch API)."""
        objects = [
            {
                "oid": one["oid"],
                "size": one["size"],
                "actions": {"download": {"href": self.url(f"lfs-object/{one['oid']}")}},
            }
            for one in json.loads(body)["objects"]
        ]
        return json.dumps({"transfer": "basic", "objects": objects}).encode()

    def url(self, name: str, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}/{name}"

    def allows(self, header: str | None) -> bool:
        if not self.user:
            return True
        return header == "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@pytest.fixture
def web(tmp_path: Path, machine: Machine) -> Iterator[WebServer]:
    server = WebServer(root=tmp_path / "served", environment=machine.environment)
    server.root.mkdir()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.requests.append(f"{self.command} {self.path}")
            server.headers.append(str(self.headers))
            server.asked()
            for old, new in server.moved.items():
                if self.path.startswith(old):
                    self.send_response(301)
                    self.send_header("Location", f"{server.url('')[:-1]}{new}{self.path.removeprefix(old)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            if server.broken:
                self.send_error(503)
                return
            if not server.allows(self.headers.get("Authorization")):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if server.forbidden:
                self.send_error(403)
            elif self.path.endswith("/info/lfs/objects/batch"):
                self.send_content(server.lfs_batch(body), "application/vnd.git-lfs+json")
            elif self.path.startswith("/lfs-object/"):
                self.send_content(server.lfs[self.path.rpartition("/")[2]])
            elif server.dumb:
                self.send_file(server.root / self.path.partition("?")[0].lstrip("/"))
            else:
                self.pass_on(body)

        def send_file(self, path: Path) -> None:
            if not path.is_file():
                self.send_error(404)
                return
            self.send_content(path.read_bytes())

        def send_content(self, content: bytes, kind: str = "application/octet-stream") -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def pass_on(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            done = subprocess.run(
                ["git", "http-backend"],
                input=body,
                capture_output=True,
                env={
                    **server.environment,
                    "GIT_PROJECT_ROOT": str(server.root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": "" if server.old_protocol else self.headers.get("Git-Protocol", ""),
                    "REMOTE_ADDR": "127.0.0.1",
                },
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = [line.split(": ", 1) for line in head.decode().splitlines() if ": " in line]
            status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
            self.send_response(status)
            for name, value in headers:
                if name != "Status":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if len(server.requests) - 1 == server.strike_at:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                server.strike()
                self.close_connection = True
                return
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = False
    listener.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


@pytest.fixture
def publish(web: WebServer) -> Callable[..., Path]:
    """Makes a bare copy of a repository that the web server serves, with settings of its own."""

    def make(repository: Repository, name: str = "project.git", **settings: str) -> Path:
        target = web.root / name
        repository.git("clone", "--quiet", "--bare", str(repository.path), str(target))
        for key, value in {"uploadpack.allowFilter": "true", **settings}.items():
            repository.git("--git-dir", str(target), "config", key.replace("_", "."), value)
        return target

    return make


@pytest.fixture
def daemon(tmp_path: Path, machine: Machine) -> Iterator[tuple[Path, int]]:
    """A folder that `git daemon` serves, and its port."""
    root = tmp_path / "daemon"
    root.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", "--export-all", f"--base-path={root}"],
        env=machine.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield root, port
    finally:
        os.killpg(process.pid, 9)
        process.wait()
