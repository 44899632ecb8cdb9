"""What git says when something is wrong, turned into a sentence and a next step.

git is called with LC_ALL=C, so its texts and those of ssh and curl can be told apart. What none
of the rules knows is shown as git said it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bodywork.errors import BodyworkError, MachineError, NotFoundError, UnreachableError, UsageError
from bodywork.git import refusal
from bodywork.git.location import Location
from bodywork.git.program import GitError

_DISK = r"No space left on device|Disk quota exceeded|Read-only file system"
_UNRESOLVED = r"Could not resolve (host|hostname|proxy)|unable to look up|Name or service not known"
_UNCONNECTED = (
    r"Failed to connect|[Cc]onnection (refused|timed out|reset)|Couldn't connect|No route to host"
    r"|Network is unreachable|unable to connect to|Connection closed by|Operation (timed out|too slow)"
    r"|kex_exchange_identification|Timed out"
)
_BROKEN = r"hung up unexpectedly|early EOF|RPC failed|unexpected disconnect|returned error: (429|5\d\d)"
_TLS = r"SSL certificate|certificate verif|server certificate|SSL_ERROR|gnutls|TLS connect error"
_MISSING = (
    r"[Rr]epository not found|repository '[^']*' not found|does not appear to be a git repository"
    r"|access denied or repository not exported|not a git repository|project you were looking for"
)
_REFUSED = r"not our ref|unadvertised object|couldn't find remote ref|remote did not send all necessary"
_CORRUPT = (
    r"object file .* is empty|is corrupt|corrupt loose|inflate: |bad object|bad config line"
    r"|not a git repository: '|'origin' does not appear|packfile .* cannot|unable to unpack"
    r"|cannot lock ref .* unable to resolve"
)


def refused(error: GitError) -> bool:
    """Whether the host has the repository, but does not give out this commit."""
    return re.search(_REFUSED, error.output) is not None


def corrupt(error: GitError) -> bool:
    """Whether it looks as if files of the mirror were damaged, by a power cut for example."""
    return re.search(_CORRUPT, error.output) is not None


def explain(error: GitError, location: Location) -> BodyworkError:
    """The error to raise for `error`, which came up while git worked on `location`."""
    rules: tuple[tuple[str, Callable[[GitError, Location], BodyworkError]], ...] = (
        (_DISK, _disk),
        (r"cannot run \S*ssh|ssh: (command )?not found", _no_ssh),
        (r"dubious ownership|unsafe repository", refusal.other_owner),
        (refusal.HOST_KEY, refusal.host_key),
        (_UNRESOLVED, _unresolved),
        (_TLS, _tls),
        (refusal.AUTHENTICATION, refusal.authentication),
        (_MISSING, _missing),
        (refusal.PERMISSION, refusal.permission),
        (_UNCONNECTED, _unconnected),
        (r"transport '[^']*' not allowed", _transport),
        (r"mismatched algorithms|unknown (repository extension|hash algorithm).*(sha256)?", _sha256),
        (_BROKEN, _unconnected),
    )
    if error.code is None:
        return _unconnected(error, location)
    for pattern, build in rules:
        if re.search(pattern, error.output):
            return build(error, location)
    return unknown(error, location)


def unknown(error: GitError, location: Location) -> BodyworkError:
    what = next((word for word in error.arguments if not word.startswith("-")), "git")
    kind = UsageError if location.local else UnreachableError
    return kind(f"git {what} failed for {location.name}: {error.said}")


def _disk(error: GitError, location: Location) -> BodyworkError:
    return MachineError(
        f"git could not write the copy of {location.name}: {error.said}",
        hint="make room on the disk, or set XDG_CACHE_HOME to a folder that can be written",
    )


def _no_ssh(error: GitError, location: Location) -> BodyworkError:
    return MachineError(
        f"{location.name} is reached by ssh, and this machine has no such program: {error.said}",
        hint="install OpenSSH's client: apt install openssh-client or dnf install openssh-clients",
    )


def _unresolved(error: GitError, location: Location) -> BodyworkError:
    return UnreachableError(
        f"the host {location.host} of {location.name} has no address: {error.said}",
        hint="check the spelling of the host's name, and this machine's network",
    )


def _unconnected(error: GitError, location: Location) -> BodyworkError:
    what = "did not answer in time" if error.code is None else f"cannot be reached: {error.said}"
    return UnreachableError(
        f"{location.authority} {what}",
        hint="check the address, this machine's network and its proxy, and try again",
    )


def _tls(error: GitError, location: Location) -> BodyworkError:
    return UnreachableError(
        f"the certificate of {location.authority} is not trusted: {error.said}",
        hint="for a certificate authority of your own: git config --global "
        f"http.https://{location.authority}/.sslCAInfo FILE",
    )


def _missing(error: GitError, location: Location) -> BodyworkError:
    if location.local:
        return NotFoundError(
            f"{location.name} is not a Git repository",
            hint="name the folder of a repository, or make this one into one: git init",
        )
    return NotFoundError(
        f"{location.authority} has no repository {location.name}",
        hint="check the spelling; many hosts say this of private repositories as well, when they are read "
        "without an ssh key or credential helper that opens them",
    )


def _transport(error: GitError, location: Location) -> BodyworkError:
    return UsageError(
        f"{location.name} is not read: {error.said}",
        hint="https, http, ssh, git and file are allowed, as far as GIT_ALLOW_PROTOCOL does not forbid them",
    )


def _sha256(error: GitError, location: Location) -> BodyworkError:
    return UsageError(
        f"{location.name} cannot be read: {error.said}",
        hint="bodywork reads repositories with SHA-1 object names; git init --object-format=sha1 makes such",
    )
