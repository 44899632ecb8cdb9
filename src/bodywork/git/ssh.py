"""ssh as git calls it: the user's own program and settings, told not to ask, perhaps with one key."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bodywork import process
from bodywork.errors import NotFoundError, UsageError

# ssh takes the first value that it finds: what the user's own command says wins over these, and
# these win over the files of ssh's configuration. The connection has to stand, with the host's
# first words, after ConnectTimeout seconds.
OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=8",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)

_PUBLIC = (b"ssh-", b"ecdsa-sha2-", b"sk-", b"---- BEGIN SSH2 PUBLIC", b"-----BEGIN PUBLIC")
_LONGEST = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Key:
    """A private key that the user named. `locked`: it has a passphrase, so only ssh-agent can use it."""

    path: Path
    locked: bool = False


def read_key(file: str | Path, environment: Mapping[str, str]) -> Key:
    """Look at a private key, so that what ssh would not take is said before any host is asked.

    Raises NotFoundError when it is not there, UsageError when it is not a private key that only
    its owner can read.
    """
    path = Path(file).expanduser().absolute()
    _check_name(path)
    try:
        facts = path.stat()
        with path.open("rb") as opened:
            start = opened.read(_LONGEST)
    except FileNotFoundError:
        raise NotFoundError(
            f"the ssh key {path} is not there", hint="name the private key's file, or make one: ssh-keygen"
        ) from None
    except OSError as error:
        raise UsageError(
            f"the ssh key {path} cannot be read: {error.strerror}", hint="name the private key's file"
        ) from None
    _check_kind(path, start)
    if facts.st_uid == os.getuid() and facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"the ssh key {path} can be read by other users of this machine, and ssh refuses such keys",
            hint=f"take their rights away: chmod 600 {shlex.quote(str(path))}",
        )
    return Key(path=path, locked=_locked(path, environment))


def _check_name(path: Path) -> None:
    if "%" in str(path) or "${" in str(path):
        raise UsageError(
            f"ssh cannot take a key from {path}: % and ${{ have a meaning in its file names",
            hint="give the key a plain name",
        )


def _check_kind(path: Path, start: bytes) -> None:
    if start.startswith(_PUBLIC):
        private = path.with_suffix("")
        there = path.suffix == ".pub" and private.exists()
        raise UsageError(
            f"{path} is a public key; what opens a repository is the private one",
            hint=f"name {private}" if there else "name the file that ssh-keygen made without .pub",
        )
    if start.startswith(b"PuTTY-User-Key-File"):
        raise UsageError(
            f"{path} is a key in PuTTY's form, which ssh does not read",
            hint=f"convert it: puttygen {shlex.quote(str(path))} -O private-openssh -o id_openssh",
        )
    if b"PRIVATE KEY-----" not in start:
        raise UsageError(
            f"{path} is not an ssh key", hint="name the private key's file, like ~/.ssh/id_ed25519"
        )


def _locked(path: Path, environment: Mapping[str, str]) -> bool:
    """Whether it has a passphrase. Raises UsageError when ssh cannot read it at all."""
    command = ["ssh-keygen", "-y", "-P", "", "-f", str(path)]
    try:
        done = process.run(command, env={**environment, "LC_ALL": "C"}, timeout=10, check=False)
    except (FileNotFoundError, process.CommandError):
        return False  # ssh itself will say what is wrong.
    if done.code == 0:
        return False
    if "passphrase" in done.stderr:
        return True
    last = (done.stderr.strip().splitlines() or ["it is damaged"])[-1]
    raise UsageError(
        f"ssh cannot read the key {path}: {last}",
        hint="a key that was pasted may have lost its line breaks or its last one: copy the file as it is",
    )


def program(environment: Mapping[str, str], configured: str) -> str | None:
    """The user's ssh, as text for a shell; `configured` is core.sshCommand. None: it is not OpenSSH."""
    command = environment.get("GIT_SSH_COMMAND")
    if command is None and "GIT_SSH" in environment:
        command = shlex.quote(environment["GIT_SSH"])
    command = command or configured or "ssh"
    if environment.get("GIT_SSH_VARIANT", "ssh") not in ("ssh", "auto") or "plink" in command.lower():
        return None
    return command


def variables(command: str | None, key: Key | None) -> dict[str, str]:
    """What git needs to call ssh in our way; other programs than OpenSSH are left as they are.

    Raises UsageError when such a program should take `key`.
    """
    if command is None:
        if key is not None:
            raise UsageError(
                "a key can be named for OpenSSH only, and git is set up for another ssh program",
                hint="unset GIT_SSH, GIT_SSH_COMMAND, GIT_SSH_VARIANT and core.sshCommand, "
                "or leave the key to that program",
            )
        return {}
    words = [word for option in OPTIONS for word in ("-o", option)]
    if key is not None:
        words = ["-i", str(key.path), "-o", "IdentitiesOnly=yes", *words]
    return {"GIT_SSH_COMMAND": f"{command} {shlex.join(words)}"}
