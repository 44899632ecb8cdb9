"""What git says when something is wrong, turned into a sentence and a next step.

git is called with LC_ALL=C, so its texts and those of ssh and curl can be told apart. What none
of the rules knows is shown as git said it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bodywork.errors import BodyworkError, MachineError, NotFoundError, UnreachableError, UsageError
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
_AUTHENTICATION = (
    r"Authentication failed|could not read (Username|Password)|Permission denied \("
    r"|Permission denied, please try again|returned error: 40[13]|[Tt]oo many authentication failures"
)
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
        (r"dubious ownership|unsafe repository", _owner),
        (r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED", _host_key),
        (_UNRESOLVED, _unresolved),
        (_TLS, _tls),
        (_AUTHENTICATION, _authentication),
        (_MISSING, _missing),
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
    return kind(f"git {what} failed for {location.name}: {said(error)}")


def said(error: GitError) -> str:
    """The lines of git's output that matter, as one."""
    lines = [line.strip() for line in error.output.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:", "remote:", "ssh:"))]
    chosen = [re.sub(r"^(fatal|error|ERROR|remote): ?", "", line) for line in telling or lines[-3:]]
    return "; ".join(dict.fromkeys(chosen))[:600] or f"it ended with code {error.code} and said nothing"


def host_of(location: Location) -> str:
    return f"{location.host}:{location.port}" if location.port else location.host or location.name


def _disk(error: GitError, location: Location) -> BodyworkError:
    return MachineError(
        f"git could not write the copy of {location.name}: {said(error)}",
        hint="make room on the disk, or set XDG_CACHE_HOME to a folder that can be written",
    )


def _owner(error: GitError, location: Location) -> BodyworkError:
    found = re.search(r"(?:in|unsafe) repository (?:at )?\(?'([^']+)'", error.output)
    path = found[1] if found else location.name
    return UsageError(
        f"{path} belongs to another user, and git does not read such repositories",
        hint=f"if you trust its owner: git config --global --add safe.directory {path}",
    )


def _host_key(error: GitError, location: Location) -> BodyworkError:
    host, port = location.host, location.port or 22
    if "HOST IDENTIFICATION HAS CHANGED" in error.output or "has changed" in error.output:
        entry = host if port == 22 else f"[{host}]:{port}"
        return UsageError(
            f"the key of the ssh host {host} is not the one that this machine knows",
            hint="ask the host's owner whether its key was changed (if not, somebody may be listening in); "
            f"then: ssh-keygen -R '{entry}' and ssh-keyscan -p {port} {host} >> ~/.ssh/known_hosts",
        )
    return UsageError(
        f"this machine does not know the key of the ssh host {host}",
        hint=f"compare what `ssh-keyscan -p {port} {host} | ssh-keygen -lf -` prints with the fingerprint "
        f"that the host's owner publishes; then: ssh-keyscan -p {port} {host} >> ~/.ssh/known_hosts",
    )


def _unresolved(error: GitError, location: Location) -> BodyworkError:
    return UnreachableError(
        f"the host {location.host} of {location.name} has no address: {said(error)}",
        hint="check the spelling of the host's name, and this machine's network",
    )


def _unconnected(error: GitError, location: Location) -> BodyworkError:
    what = "did not answer in time" if error.code is None else f"cannot be reached: {said(error)}"
    return UnreachableError(
        f"{host_of(location)} {what}",
        hint="check the address, this machine's network and its proxy, and try again",
    )


def _tls(error: GitError, location: Location) -> BodyworkError:
    return UnreachableError(
        f"the certificate of {host_of(location)} is not trusted: {said(error)}",
        hint="for a certificate authority of your own: git config --global "
        f"http.https://{host_of(location)}/.sslCAInfo FILE",
    )


def _authentication(error: GitError, location: Location) -> BodyworkError:
    if location.scheme == "ssh":
        hint = (
            "bodywork never asks for anything: an ssh key without a passphrase, or one loaded into ssh-agent "
            f"(ssh-add), must open it; try: ssh -o BatchMode=yes -T {_ssh_target(location)}"
        )
    else:
        hint = (
            "bodywork never asks for a password: set up a credential helper "
            "(git config --global credential.helper store, gh auth setup-git, ...), or use an ssh address; "
            f"try: GIT_TERMINAL_PROMPT=0 git ls-remote {location.name}"
        )
    return UsageError(f"{host_of(location)} did not let us read {location.name}: {said(error)}", hint=hint)


def _ssh_target(location: Location) -> str:
    if "://" not in location.name:
        return location.name.partition(":")[0]
    user = location.name.removeprefix("ssh://").partition("/")[0].rpartition("@")[0]
    port = f"-p {location.port} " if location.port else ""
    return port + (f"{user}@{location.host}" if user else location.host)


def _missing(error: GitError, location: Location) -> BodyworkError:
    if location.local:
        return NotFoundError(
            f"{location.name} is not a Git repository",
            hint="name the folder of a repository, or make this one into one: git init",
        )
    return NotFoundError(
        f"{host_of(location)} has no repository {location.name}",
        hint="check the spelling; many hosts say this of private repositories as well, when they are read "
        "without an ssh key or credential helper that opens them",
    )


def _transport(error: GitError, location: Location) -> BodyworkError:
    return UsageError(
        f"{location.name} is not read: {said(error)}",
        hint="https, http, ssh, git and file are allowed, as far as GIT_ALLOW_PROTOCOL does not forbid them",
    )


def _sha256(error: GitError, location: Location) -> BodyworkError:
    return UsageError(
        f"{location.name} cannot be read: {said(error)}",
        hint="bodywork reads repositories with SHA-1 object names; git init --object-format=sha1 makes such",
    )
