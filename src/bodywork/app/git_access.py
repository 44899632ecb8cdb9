"""What opens a private repository: a key's file that was named, or a secret with a key or a token.

A secret for git has keys of these names, on this machine and in a cluster:

    SSH_PRIVATE_KEY        for addresses of ssh
    PASSWORD, USERNAME     for https: a token or password, and the user that the host wants with it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bodywork.app.parts import Parts
from bodywork.errors import NotFoundError, UsageError
from bodywork.secret import set_command

if TYPE_CHECKING:
    from bodywork.git import Git
    from bodywork.git.location import Credential

KEY, PASSWORD, USER = "SSH_PRIVATE_KEY", "PASSWORD", "USERNAME"
USUAL_USER = "git"
"""What most hosts take beside a token."""


@dataclass(frozen=True, kw_only=True)
class GitAccess:
    """What the user named: the file of a private key, or a secret; not both."""

    ssh_key: str | None = None
    secret: str | None = None

    def __post_init__(self) -> None:
        if self.ssh_key is not None and self.secret is not None:
            raise UsageError(
                "--ssh-key-file and --git-secret are two ways to open the repository",
                hint="name one of them (BODYWORK_SSH_KEY_FILE and BODYWORK_GIT_SECRET count, too)",
            )


def git_for(parts: Parts, access: GitAccess, repository: str) -> Git:
    """git that opens a repository with this, as far as anything was named.

    Raises NotFoundError, and UsageError for a secret that does not suit the address.
    """
    from bodywork.git.location import parse

    if access.secret is None:
        return parts.git_with(access.ssh_key)
    scheme = parse(repository).scheme
    if scheme == "ssh":
        return parts.git_with(key_in(parts, access.secret))
    if scheme in ("https", "http"):
        return parts.git_with(None, token_in(parts, access.secret))
    return parts.git


def key_in(parts: Parts, secret: str) -> str:
    """The file of the private key that a secret holds: ssh reads it where it is."""
    if not parts.secrets.has(secret, KEY):
        raise _without(parts, secret, KEY, "ssh")
    parts.secrets.read(secret, KEY)  # a file that others can read is refused
    return str(parts.secrets.path(secret, KEY))


def token_in(parts: Parts, secret: str) -> Credential:
    if not parts.secrets.has(secret, PASSWORD):
        raise _without(parts, secret, PASSWORD, "https")
    from bodywork.git.location import Credential

    named = parts.secrets.has(secret, USER)
    return Credential(
        user=parts.secrets.read(secret, USER) if named else USUAL_USER,
        password=parts.secrets.read(secret, PASSWORD),
        kept=f"the secret ({set_command(secret, PASSWORD)})",
    )


def _without(parts: Parts, secret: str, key: str, scheme: str) -> NotFoundError:
    has = parts.secrets.keys(secret)  # raises when there is no such secret at all
    return NotFoundError(
        f"secret {secret} has no {key}, which opens repositories by {scheme}; it has {', '.join(has)}",
        hint=f"set it: {set_command(secret, key)}{' --from-file KEY' if key == KEY else ''}; "
        "or name the repository by its other address",
    )
