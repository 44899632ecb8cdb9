"""The keys of ssh hosts: which ones a host offers, and which ones this machine knows.

Where ssh looks is asked of ssh itself (`ssh -G`), so that aliases, ports, other files and hashed
names of the user's configuration hold here as well. Forms of the file: sshd(8), SSH_KNOWN_HOSTS
FILE FORMAT.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bodywork import process
from bodywork.errors import MachineError, UnreachableError, UsageError
from bodywork.git.location import parse, shown
from bodywork.git.program import Program

ANSWER = 6
"""Seconds that a host may take to offer its keys."""


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A public key of a host: its kind as ssh names it, like ssh-ed25519, and the key in base64."""

    kind: str
    text: str

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l prints it: SHA256:..."""
        digest = hashlib.sha256(base64.b64decode(self.text)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def short(self) -> str:
        """ED25519, ECDSA or RSA."""
        return self.kind.removeprefix("ssh-").removeprefix("sk-").split("-")[0].split("@")[0].upper()


@dataclass(frozen=True, kw_only=True)
class Known:
    """A line of a file of known hosts. `mark` is revoked, cert-authority or empty; `line` counts from 1."""

    file: Path
    line: int
    names: str
    mark: str
    key: HostKey


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host as ssh sees it.

    `asked` is what the user named, as HOST or HOST:PORT; `name` is what ssh looks for in its files.
    `file` is where new keys go, `files` are all that ssh reads. `proxy` is what lies between, or
    empty.
    """

    asked: str
    address: str
    port: int
    name: str
    file: Path
    files: tuple[Path, ...]
    hashed: bool
    proxy: str = ""


def find(text: str, program: Program) -> Host:
    """The host that `text` names: HOST, HOST:PORT or the ssh address of a repository.

    Raises UsageError when it names none, or when git is set up for another program than OpenSSH.
    """
    name, port = _named(text)
    asked = f"[{name}]" if ":" in name and port else name
    command = program.ssh_command()
    if command is None:
        raise UsageError("git is set up for another ssh program than OpenSSH", hint="trust the host there")
    options = ["-p", str(port)] if port else []
    settings = _settings(f'{command} "$@"', ["-G", *options, "--", name], program)
    address, port = settings.get("hostname", name), int(settings.get("port", "22"))
    alias = settings.get("hostkeyalias", "").lower()
    files = _paths(settings.get("userknownhostsfile", ""))
    if not files:
        raise UsageError(
            "ssh's configuration names no file of known hosts", hint="take UserKnownHostsFile out of it"
        )
    address = address.lower()
    proxies = (settings.get(one, "none") for one in ("proxyjump", "proxycommand"))
    return Host(
        asked=f"{asked}:{options[1]}" if options else asked,
        address=address,
        port=port,
        name=alias or (address if port == 22 else f"[{address}]:{port}"),
        file=files[0],
        files=files + _paths(settings.get("globalknownhostsfile", "")),
        hashed=settings.get("hashknownhosts") == "yes",
        proxy=next((proxy for proxy in proxies if proxy != "none"), ""),
    )


def _named(text: str) -> tuple[str, int | None]:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text)), None
    repository = "://" in text or re.search(r":(?!\d+$)[^\]]*$", text)
    place = parse(text if repository else f"ssh://{text}")
    if place.scheme != "ssh":
        raise UsageError(
            f"{shown(text)} is no ssh host",
            hint="name it as HOST or HOST:PORT; only ssh hosts have such keys",
        )
    return place.host, place.port


def _settings(script: str, arguments: Sequence[str], program: Program) -> dict[str, str]:
    """What ssh would do; git has a shell run its ssh command, so we do the same."""
    try:
        done = process.run(
            ["sh", "-c", script, "sh", *arguments], env=program.environment, timeout=ANSWER, check=False
        )
    except process.CommandError:
        raise UsageError(
            "`ssh -G` did not end in time", hint="look at Match exec in ssh's configuration"
        ) from None
    if done.code != 0:
        said = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        if done.code == 127:
            raise MachineError(f"there is no ssh on this machine: {said}", hint="install OpenSSH's client")
        raise UsageError(f"`ssh -G` failed: {said}", hint="look at ssh's configuration")
    pairs = (line.partition(" ") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}


def _paths(value: str) -> tuple[Path, ...]:
    """ssh prints several absolute paths in one line, and does not quote them."""
    return tuple(
        Path(one) for one in re.split(r" (?=/)", value) if one.startswith("/") and one != "/dev/null"
    )


def offered(host: Host, program: Program) -> tuple[HostKey, ...]:
    """The keys that the host offers now. Nothing proves yet that they are its own.

    Raises UnreachableError when it does not answer, UsageError when it cannot be asked directly.
    """
    if host.proxy:
        raise UsageError(
            f"{host.asked} is reached through {host.proxy}, and ssh-keyscan cannot go that way",
            hint=f"connect once by hand and compare the fingerprint that ssh shows: ssh {host.asked}",
        )
    command = ["ssh-keyscan", "-T", str(ANSWER), "-p", str(host.port), "--", host.address]
    try:
        done = process.run(command, env=program.environment, timeout=2 * ANSWER, check=False)
        said = done.stdout, done.stderr
    except process.CommandError as error:
        said = "", error.output
    except FileNotFoundError:
        raise MachineError(
            "there is no ssh-keyscan on this machine", hint="install OpenSSH's client"
        ) from None
    keys = {key for line in said[0].splitlines() if (key := _key(line.split()[1:])) is not None}
    if not keys:
        reasons = [line for line in said[1].splitlines() if line and not line.startswith("#")]
        why = reasons[-1] if reasons else "it does not answer, or does not speak ssh"
        raise UnreachableError(
            f"{host.address}:{host.port} offers no key: {why}",
            hint="check the host's name, its port and this machine's network",
        )
    return tuple(sorted(keys, key=lambda key: (key.kind, key.text)))


def _key(words: Sequence[str]) -> HostKey | None:
    try:
        base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        return None
    return HostKey(kind=words[0], text=words[1])


def known(host: Host, program: Program) -> tuple[Known, ...]:
    """What this machine knows of the host, in all files that ssh reads."""
    return tuple(one for file in host.files if file.exists() for one in _known_in(file, host, program))


def _known_in(file: Path, host: Host, program: Program) -> list[Known]:
    command = ["ssh-keygen", "-F", host.name, "-f", str(file)]
    try:
        done = process.run(command, env={**program.environment, "LC_ALL": "C"}, timeout=ANSWER, check=False)
    except FileNotFoundError:
        raise MachineError(
            "there is no ssh-keygen on this machine", hint="install OpenSSH's client"
        ) from None
    found, number = [], 0
    for line in done.stdout.splitlines():
        if place := re.search(r"^# Host .* found: line (\d+)", line):
            number = int(place[1])
            continue
        words = line.split()
        mark = words.pop(0).removeprefix("@") if line.startswith("@") else ""
        if number and (key := _key(words[1:])) is not None:
            found.append(Known(file=file, line=number, names=words[0], mark=mark, key=key))
    return found
