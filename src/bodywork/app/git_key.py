"""The key that pods fetch a big project with: the one that the user named, and the keys of its host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bodywork.app.parts import Parts
from bodywork.errors import UsageError
from bodywork.git import hosts, ssh
from bodywork.git.location import parse
from bodywork.targets.kubernetes.secrets.git_credential import SshFiles


async def ssh_files(parts: Parts, repository: str, key: str | None) -> SshFiles | None:
    """None: no key was named, or the repository is not reached by ssh.

    Raises UsageError for a key that pods could not use, and NotFoundError.
    """
    if key is None or parse(repository).scheme != "ssh":
        return None
    return await asyncio.to_thread(_read, parts, repository, key)


def _read(parts: Parts, repository: str, file: str) -> SshFiles:
    key = ssh.read_key(file, parts.ours)
    if key.locked:
        raise UsageError(
            f"the ssh key {key.path} has a passphrase, which nobody can type where pods fetch the project",
            hint="make a key for this without one, and let the repository's host know it: "
            "ssh-keygen -t ed25519 -N '' -f deploy_key",
        )
    program = parts.git_with(file).program
    host = hosts.find(repository, program)
    place = parse(repository)
    named = place.host if place.port in (None, 22) else f"[{place.host}]:{place.port}"
    known = hosts.known(host, program)
    names = sorted({host.name, named})  # an alias of ssh's configuration is known on this machine only
    return SshFiles(key=key.path.read_bytes(), known_hosts="".join(_lines(names, known)).encode())


def _lines(names: Sequence[str], known: Sequence[hosts.Known]) -> list[str]:
    return [
        f"{f'@{one.mark} ' if one.mark else ''}{','.join(names)} {one.key.kind} {one.key.text}\n"
        for one in known
    ]
