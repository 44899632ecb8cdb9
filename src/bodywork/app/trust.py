"""Know an ssh host from now on: its keys are shown, somebody vouches for them, they are written down.

The keys come over the network that an attacker may sit in, so a person has to compare them with
what the host's owner publishes; or the fingerprint that was got another way is given beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bodywork.app.parts import Parts
from bodywork.errors import UsageError

if TYPE_CHECKING:
    from bodywork.git.hosts import Host, HostKey, Known


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a host offers, beside what this machine knows of it.

    `wanted` are the offered keys that would be written; `old` are the known ones that would go,
    because the host has another key now; none of either when the host is known already.
    """

    host: Host
    offered: tuple[HostKey, ...]
    wanted: tuple[HostKey, ...]
    old: tuple[Known, ...]


def trust(
    parts: Parts,
    text: str,
    *,
    fingerprints: frozenset[str] = frozenset(),
    replace: bool = False,
    confirm: Callable[[Standing], bool] | None = None,
) -> Standing:
    """Write down the keys of the host that `text` names, once somebody vouches for them.

    With `fingerprints` only the keys that have one of them are written, and nobody is asked; else
    `confirm` is asked (None: nobody can be). Raises UsageError when nobody vouches for a key, when
    the host's key has changed and `replace` is false, and when it was revoked; UnreachableError
    when the host does not answer.
    """
    from bodywork.git import known_hosts

    standing = look(parts, text, fingerprints)
    if not standing.wanted:
        return standing
    if standing.old and not replace:
        raise _changed(standing)
    if not fingerprints:
        _ask(standing, confirm, replace)
    if standing.old:
        known_hosts.replace(standing.host, standing.old, standing.wanted)
    else:
        known_hosts.add(standing.host, standing.wanted)
    return standing


def look(parts: Parts, text: str, fingerprints: frozenset[str] = frozenset()) -> Standing:
    """Ask a host for its keys, and compare. Nothing is written. Raises as `trust`."""
    from bodywork.git import hosts

    host = hosts.find(text, parts.git.program)
    offered = hosts.offered(host, parts.git.program)
    chosen = _vouched(host, offered, fingerprints) if fingerprints else offered
    known = hosts.known(host, parts.git.program)
    _check_revoked(host, chosen, known)
    plain = tuple(one for one in known if not one.mark)
    keys = {one.key for one in plain}
    if _has_changed(keys, offered):
        wanted = tuple(key for key in offered if key in chosen or key in keys)
        return Standing(host=host, offered=offered, wanted=wanted, old=plain)
    new = tuple(key for key in chosen if key not in keys)
    # One key that is known and still offered is all that ssh needs.
    wanted = new if fingerprints or not keys else ()
    return Standing(host=host, offered=offered, wanted=wanted, old=())


def _has_changed(known: set[HostKey], offered: tuple[HostKey, ...]) -> bool:
    """Whether ssh could meet a key that contradicts a known one."""
    if known and not known & set(offered):
        return True
    same_kind = ({key for key in offered if key.kind == one.kind} for one in known)
    return any(others and not others & known for others in same_kind)


def _vouched(host: Host, offered: tuple[HostKey, ...], fingerprints: frozenset[str]) -> tuple[HostKey, ...]:
    for one in fingerprints:
        if not one.startswith("SHA256:"):
            raise UsageError(
                f"{one} is not a fingerprint of the form SHA256:...",
                hint="ssh-keygen -l -f KEYFILE prints such",
            )
    wanted = {one.rstrip("=") for one in fingerprints}
    chosen = tuple(key for key in offered if key.fingerprint in wanted)
    if not chosen:
        raise UsageError(
            f"{host.asked} has no key with that fingerprint; what answers there offers {_listed(offered)}",
            hint="ask the host's owner; if the fingerprint is right, somebody else is answering",
        )
    return chosen


def _check_revoked(host: Host, chosen: tuple[HostKey, ...], known: tuple[Known, ...]) -> None:
    for one in known:
        if one.mark == "revoked" and one.key in chosen:
            raise UsageError(
                f"the key {one.key.fingerprint} of {host.asked} was revoked: line {one.line} of {one.file}",
                hint="do not connect; ask the host's owner for its present key",
            )


def _listed(keys: tuple[HostKey, ...]) -> str:
    return ", ".join(f"{key.fingerprint} ({key.short})" for key in keys)


def _changed(standing: Standing) -> UsageError:
    host = standing.host
    old = _listed(tuple(one.key for one in standing.old))
    return UsageError(
        f"the key of {host.asked} has changed: known is {old}; now it offers {_listed(standing.offered)}",
        hint="ask the host's owner whether its key was changed (if not, somebody may be listening in); "
        f"then: bodywork git trust {host.asked} --replace",
    )


def _ask(standing: Standing, confirm: Callable[[Standing], bool] | None, replace: bool) -> None:
    host = standing.host
    if confirm is None:
        also = " --replace" if replace and standing.old else ""
        raise UsageError(
            f"nobody is here to compare the fingerprints of {host.asked}: {_listed(standing.wanted)}",
            hint="compare it with the one that the host's owner publishes, then: "
            f"bodywork git trust {host.asked}{also} --fingerprint SHA256:...",
        )
    if not confirm(standing):
        raise UsageError(
            f"the key of {host.asked} was not confirmed, and nothing was written",
            hint="the host's owner publishes its fingerprints, or can print them: "
            "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub",
        )
