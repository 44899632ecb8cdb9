"""A real sshd on loopback with keys of its own, and the settings that make ssh find only what is here.

ssh takes the home folder from the system's list of users, not from $HOME: so tests name a
configuration file, and nothing of the user's own is read or written.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
SSHD = shutil.which("sshd", path=PLACES)


def missing() -> str:
    """Why there can be no sshd here; empty when there can."""
    for name in ("sshd", "ssh", "ssh-agent", "ssh-keygen", "ssh-keyscan"):
        if shutil.which(name, path=PLACES) is None:
            return f"there is no {name} on this machine: apt install openssh-server openssh-client"
    if os.getuid() == 0 and not Path("/run/sshd").is_dir():
        return "sshd run by root wants the folder /run/sshd"
    return ""


def new_key(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> Path:
    for old in (path, Path(f"{path}.pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)
    return path


def fingerprint(path: Path) -> str:
    """As ssh-keygen prints it."""
    said = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], check=True, capture_output=True, text=True)
    return said.stdout.split()[1]


@dataclass
class SshServer:
    """`folder` holds all its files. `key` is a key that it accepts, `other` one that it does not.

    `address` is one of this machine.
    """

    folder: Path
    user: str = field(default_factory=getpass.getuser)
    port: int = 0
    address: str = "127.0.0.1"
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.key, self.other = new_key(self.folder / "key"), new_key(self.folder / "other")
        self.host_keys = [new_key(self.folder / f"host_{kind}", kind=kind) for kind in ("ed25519", "ecdsa")]
        self.known_hosts = self.folder / "dot-ssh" / "known_hosts"
        self.authorize(self.key)
        with socket.socket() as free:
            free.bind((self.address, 0))
            self.port = free.getsockname()[1]
        self.configure()

    def authorize(self, key: Path) -> None:
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(Path(f"{key}.pub").read_text())

    def configure(self, *more: str, key: Path | None = None) -> str:
        """Write ssh's configuration, and return the command that uses it."""
        lines = (
            f"Host flowers\n  HostName {self.address}\n  Port {self.port}\n",
            "Host *",
            *more,
            f"UserKnownHostsFile {self.known_hosts}",
            "GlobalKnownHostsFile /dev/null",
            f"IdentityFile {key or self.key}",
        )
        path = self.folder / "ssh_config"
        path.write_text("\n".join(lines) + "\n")
        return f"ssh -F {path}"

    def trust(self) -> None:
        """Make its keys known without further ado."""
        self.known_hosts.parent.mkdir(exist_ok=True)
        keys = (" ".join(Path(f"{key}.pub").read_text().split()[:2]) for key in self.host_keys)
        self.known_hosts.write_text("".join(f"[{self.address}]:{self.port} {key}\n" for key in keys))

    def url(self, path: Path, *, user: str | None = None) -> str:
        return f"ssh://{user or self.user}@{self.address}:{self.port}{path}"

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    def start(self) -> None:
        lines = [
            f"ListenAddress {self.address}",
            *(f"HostKey {key}" for key in self.host_keys),
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "AcceptEnv GIT_PROTOCOL",
            f"SetEnv GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 PATH={os.environ['PATH']}",
            "MaxStartups 100",
        ]
        if _version() >= (9, 8):
            lines.append("PerSourcePenalties no")
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        command = [str(SSHD), "-f", str(config), "-D", "-e", "-p", str(self.port)]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert self._process is not None and self._process.poll() is None, self.log
            place = (self.address, self.port)
            with contextlib.suppress(OSError), socket.create_connection(place, 5) as probe:
                if probe.recv(4) == b"SSH-":
                    return
            time.sleep(0.02)
        raise AssertionError(self.log)

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def change_host_keys(self) -> None:
        self.stop()
        for key in self.host_keys:
            new_key(key, kind=key.name.removeprefix("host_"))
        self.start()


def _version() -> tuple[int, int]:
    said = subprocess.run(["ssh", "-V"], check=True, capture_output=True, text=True).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@contextlib.contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Iterator[SshServer]:
    server = SshServer(folder, address=address)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def agent(folder: Path, key: Path, passphrase: str) -> Iterator[str]:
    """The socket of an ssh-agent that holds `key`."""
    # Not below `folder`: the path of a socket may have about 100 characters only.
    place = Path(f"/tmp/bodywork-agent-{os.getpid()}-{time.monotonic_ns()}")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        ask = folder / "askpass"
        ask.write_text(f"#!/bin/sh\necho {passphrase}\n")
        ask.chmod(0o700)
        variables = {"SSH_AUTH_SOCK": str(place), "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        environment = {**os.environ, **variables, "DISPLAY": ":0"}
        subprocess.run(
            ["ssh-add", "-q", str(key)], check=True, env=environment, stdin=subprocess.DEVNULL, timeout=10
        )
        yield str(place)
    finally:
        process.terminate()
        process.wait(timeout=10)
        place.unlink(missing_ok=True)
