"""What pods fetch a big project with: the key or token that the user named, and the keys of the host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bodywork.app.git_access import GitAccess, key_in, token_in
from bodywork.app.parts import Parts
from bodywork.errors import UsageError
from bodywork.git import hosts, ssh
from bodywork.git.location import parse
from bodywork.targets.kubernetes.secrets.git_credential import SshFiles, Token


async def files_for_pods(parts: Parts, repository: str, access: GitAccess) -> SshFiles | Token | None:
    """None: nothing was named that opens an address like this.

    Raises UsageError for a key that pods could not use, and NotFoundError.
    """
    scheme, key = parse(repository).scheme, access.ssh_key
    if access.secret is not None and scheme in ("https", "http"):
        found = token_in(parts, access.secret)
        return Token(user=found.user, password=found.password or "")
    if access.secret is not None and scheme == "ssh":
        key = key_in(parts, access.secret)
    if key is None or scheme != "ssh":
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
