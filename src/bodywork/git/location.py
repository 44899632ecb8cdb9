"""Where a repository is: the forms a user may write, and what of them may be shown.

The forms are those of git itself. Refused are the ones that make git run programs (`ext::`) or
that git would take for an option. User names and passwords of URLs are taken out at once, so that
whatever is stored, printed or put on a command line cannot hold them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from bodywork.errors import UsageError

SCHEMES = ("https", "http", "ssh", "git", "file")
PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_SCP = re.compile(r"(?:(?P<user>[^@/:\s]+)@)?(?P<host>\[[^\]/]+\]|[^@/:\[\]\s]+):(?P<path>.+)")
_USERINFO = re.compile(r"(://)[^/\s'\"]*@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = 20
"""Characters that a token has at least."""

_FORMS = "name a folder, or a URL: https://HOST/PATH, ssh://HOST/PATH, HOST:PATH or file:///PATH"


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What stood before the @ of a URL; `password` is None where there was none.

    `kept` says, as part of a sentence, where a new one has to go when this one is refused.
    """

    user: str
    password: str | None = None
    kept: str = "the URL"


@dataclass(frozen=True, kw_only=True)
class Location:
    """A repository's place. `name` is what git is given and what is shown: it has no credentials.

    `scheme` is one of SCHEMES, or "path" for a folder of this machine.
    """

    name: str
    scheme: str
    host: str = ""
    port: int | None = None
    credential: Credential | None = field(default=None, repr=False)

    @property
    def local(self) -> bool:
        """Whether no network lies between: a filter saves nothing, and nothing is out of reach."""
        return self.scheme in ("path", "file")

    @property
    def authority(self) -> str:
        """The host to show, with its port unless that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{host}:{self.port}" if self.port else host or self.name

    @property
    def key(self) -> str:
        """Names the mirror: the same for all spellings of one place."""
        return hashlib.sha256(self.name.rstrip("/").encode(errors="surrogateescape")).hexdigest()[:24]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may hold; a long user name without a password is a token."""
        if self.credential is None:
            return ()
        if self.credential.password is None:
            return (self.credential.user,) if len(self.credential.user) >= _TOKEN else ()
        return (self.credential.password,) if self.credential.password else ()


def parse(text: str) -> Location:
    """Read what the user wrote. Raises UsageError for forms that are not supported."""
    if not text.strip():
        raise UsageError("no repository is named", hint=_FORMS)
    if text.startswith("-") or _CONTROL.search(text):
        raise UsageError(f"{shown(text)!r} cannot be the name of a repository", hint=_FORMS)
    if url := _URL.match(text):
        return _url(text, url[1].lower())
    if _HELPER.match(text):
        scheme = text.partition("::")[0]
        raise UsageError(
            f"repositories of the form {scheme}::... are refused: git would run a program for them",
            hint=_FORMS,
        )
    if (form := _SCP.fullmatch(text)) and not Path(text).exists():
        return _scp(text, form)
    return Location(name=str(Path(text).expanduser().absolute()), scheme="path")


def shown(text: str) -> str:
    """`text` as it may be printed: no userinfo in URLs, no control characters."""
    return _CONTROL.sub("?", _USERINFO.sub(r"\1", text))


def _url(text: str, scheme: str) -> Location:
    if scheme not in SCHEMES:
        raise UsageError(
            f"{shown(text)}: {scheme}:// is not supported", hint=f"supported are {', '.join(SCHEMES)}"
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        # Not shown: a password with a slash in it ends up here.
        raise UsageError(
            f"what follows {scheme}:// is not a valid address",
            hint="in a user name or password, write / as %2F, @ as %40, : as %3A and # as %23",
        ) from None
    if scheme == "file":
        if host not in ("", "localhost"):
            raise UsageError(f"{shown(text)} names another machine", hint="write file:///PATH")
        return Location(name=f"file://{parts.path}", scheme=scheme)
    if not host or host.startswith("-"):
        raise UsageError(f"{shown(text)} names no host", hint=_FORMS)
    return _remote(parts, scheme, host, port)


def _remote(parts: SplitResult, scheme: str, host: str, port: int | None) -> Location:
    user = unquote(parts.username or "")
    password = None if parts.password is None else unquote(parts.password)
    if _CONTROL.search(user + (password or "")):
        raise UsageError("the user name or password of a URL holds a control character")
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != PORTS[scheme]:
        place += f":{port}"
    tail = parts.path + (f"?{parts.query}" if parts.query else "")
    if scheme == "ssh":
        # The user is part of an ssh address, not a secret; git could do nothing with a password.
        if user.startswith("-") or "@" in user:
            raise UsageError(f"{shown(parts.geturl())} names no user that ssh would take", hint=_FORMS)
        place = f"{user}@{place}" if user else place
    given = (user or password is not None) and scheme in ("https", "http")
    return Location(
        name=f"{scheme}://{place}{tail}",
        scheme=scheme,
        host=host,
        port=port,
        credential=Credential(user=user, password=password) if given else None,
    )


def _scp(text: str, form: re.Match[str]) -> Location:
    host, user = form["host"].strip("[]"), form["user"] or ""
    if "@" in form["path"].partition("/")[0]:
        raise UsageError(
            "a password cannot stand in an address of the form HOST:PATH", hint="use an ssh key instead"
        )
    if host.startswith("-") or user.startswith("-"):
        raise UsageError(f"{shown(text)!r} cannot be the name of a repository", hint=_FORMS)
    return Location(name=text, scheme="ssh", host=host)


def beside(base: str, relative: str) -> str:
    """The address that `./x` and `../x` of .gitmodules mean, seen from the repository at `base`."""
    base = base.rstrip("/")
    while True:
        if relative.startswith("./"):
            relative = relative[2:]
        elif relative.startswith("../"):
            relative = relative[3:]
            head, slash, _ = base.rpartition("/")
            if not slash:
                head, slash, _ = base.rpartition(":")
                return f"{head}:{relative}" if slash else relative
            base = head
        else:
            return f"{base}/{relative}"


def credential_variables(location: Location, inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that hand the URL's credentials to git, and to nobody else.

    A credential helper answers for this one host; with a password, the user's own helpers are
    left out, since git would tell them to store it.
    """
    credential = location.credential
    if credential is None:
        return {}
    place = f"[{location.host}]" if ":" in location.host else location.host
    host = f"{location.scheme}://{place}" + (f":{location.port}" if location.port else "")
    settings = [(f"credential.{host}.username", credential.user)] if credential.user else []
    variables = {}
    if credential.password is not None:
        answer = (
            '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n"'
            ' "$BODYWORK_GIT_USER" "$BODYWORK_GIT_PASSWORD"; }; f'
        )
        settings += [("credential.helper", ""), (f"credential.{host}.helper", answer)]
        variables = {"BODYWORK_GIT_USER": credential.user, "BODYWORK_GIT_PASSWORD": credential.password}
    first = int(inherited.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(settings, start=first):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return {**variables, "GIT_CONFIG_COUNT": str(first + len(settings))}
