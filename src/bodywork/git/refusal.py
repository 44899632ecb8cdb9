"""A host that is there and does not let us in, or is not the one that we know: what to do about it."""

from __future__ import annotations

import re

from bodywork.errors import BodyworkError, UsageError
from bodywork.git.location import Location
from bodywork.git.program import GitError

HOST_KEY = r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY"
AUTHENTICATION = (
    r"Authentication failed|could not read (Username|Password)|Permission denied \("
    r"|Permission denied, please try again|returned error: 40[13]|[Tt]oo many authentication failures"
    r"|No supported authentication methods"
)
PERMISSION = (
    r"Permission to \S+ denied|[Yy]ou (do not|don't) have permission|not authorized|[Uu]nauthorized"
    r"|[Aa]ccess denied(?! or repository)|[Ff]orbidden|[Ii]nsufficient permission|DENIED by"
)


HELPER = "the credential helper (git credential approve)"


def host_key(error: GitError, location: Location) -> BodyworkError:
    host = location.authority
    if "REVOKED" in error.output:
        return UsageError(
            f"the key of the ssh host {host} is marked as revoked on this machine",
            hint="do not connect; ask the host's owner for its present key",
        )
    if "CHANGED" in error.output or "has changed" in error.output:
        return UsageError(
            f"the key of the ssh host {host} is not the one that this machine knows",
            hint="ask the host's owner whether its key was changed (if not, somebody may be listening in); "
            f"then: bodywork git trust {host} --replace",
        )
    return UsageError(
        f"this machine does not know the key of the ssh host {host}",
        hint=f"bodywork git trust {host} shows its fingerprints: compare them with those that its owner "
        "publishes",
    )


def authentication(error: GitError, location: Location) -> BodyworkError:
    if location.scheme == "ssh":
        return _by_ssh(error, location)
    name = location.name
    if "could not read" in error.output:
        return UsageError(
            f"{location.authority} asks who reads {name}, and there is no credential for it",
            hint="bodywork never asks for a password: set up a credential helper (git config --global "
            "credential.helper store, gh auth setup-git, ...), or use an ssh address; "
            f"try: GIT_TERMINAL_PROMPT=0 git ls-remote {name}. Many hosts say this also of repositories that "
            "do not exist: check the spelling",
        )
    if "error: 403" in error.output:
        return UsageError(
            f"{location.authority} knows who we are and does not let us read {name}: {error.said}",
            hint="give the token or its user the right to read this repository, "
            "or have another credential helper answer",
        )
    return UsageError(
        f"{location.authority} did not take the credential for {name}: {error.said}",
        hint="the token or password is wrong or has expired: make a new one, and give it to "
        + (location.credential.kept if location.credential and location.secrets else HELPER)
        + f"; bodywork never asks for a password; try: GIT_TERMINAL_PROMPT=0 git ls-remote {name}",
    )


def _by_ssh(error: GitError, location: Location) -> BodyworkError:
    message = f"{location.authority} did not let us read {location.name}: {_ssh_said(error)}"
    if found := re.search(r"Permissions \S+ for '([^']+)' are too open", error.output):
        return UsageError(
            f"{message}; the key {found[1]} can be read by other users of this machine, and ssh refuses it",
            hint=f"take their rights away: chmod 600 {found[1]}",
        )
    if error.key is not None and error.key.locked:
        return UsageError(
            f"{message}; the key {error.key.path} has a passphrase, and bodywork never asks for one",
            hint=f"load it into ssh-agent: ssh-add {error.key.path}; or use a key without a passphrase",
        )
    if error.key is not None:
        return UsageError(
            f"{message}; the key {error.key.path} does not open it",
            hint=f"add the public key to the repository or its user (ssh-keygen -y -f {error.key.path} "
            "prints it), or name another one with --ssh-key-file",
        )
    return UsageError(
        message,
        hint="bodywork never asks for anything: an ssh key without a passphrase, or one loaded into "
        "ssh-agent (ssh-add), must open it; name a key with --ssh-key-file FILE; "
        f"try: ssh -o BatchMode=yes -T {_ssh_target(location)}",
    )


def _ssh_said(error: GitError) -> str:
    """The line in which the host refuses, without what git makes of it."""
    found = re.search(rf"^.*(?:{AUTHENTICATION}).*$", error.output, re.MULTILINE)
    return found[0].strip() if found else error.said


def permission(error: GitError, location: Location) -> BodyworkError:
    who = f" with the key {error.key.path}" if error.key else ""
    return UsageError(
        f"{location.authority} lets us in{who}, but not read {location.name}: {error.said}",
        hint="give the key, token or user the right to read this repository, and check the spelling",
    )


def other_owner(error: GitError, location: Location) -> BodyworkError:
    """git's check of owners, on this machine or on the host."""
    found = re.search(r"(?:in|unsafe) repository (?:at )?\(?'([^']+)'", error.output)
    path = found[1] if found else location.name
    if not location.local:
        return UsageError(
            f"{location.authority} lets us in, but not read {location.name}: "
            f"there {path} belongs to another user",
            hint="use the address of the user that owns it, or run on that host: "
            f"git config --global --add safe.directory {path}",
        )
    return UsageError(
        f"{path} belongs to another user, and git does not read such repositories",
        hint=f"if you trust its owner: git config --global --add safe.directory {path}",
    )


def _ssh_target(location: Location) -> str:
    if "://" not in location.name:
        return location.name.partition(":")[0]
    user = location.name.removeprefix("ssh://").partition("/")[0].rpartition("@")[0]
    port = f"-p {location.port} " if location.port else ""
    return port + (f"{user}@{location.host}" if user else location.host)
