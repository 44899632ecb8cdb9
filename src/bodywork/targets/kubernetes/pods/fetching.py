"""Runs in a pod's init container: fetches one commit and unpacks the project, with a credential of its own.

What is to be done is JSON in BODYWORK_FETCH, as `manifests.containers.fetched` writes it. The
credential is a folder of files: `ssh-privatekey` and `known_hosts`, or `username` and `password`.
Nothing of it, and no copy of the repository, is left where the stage could see it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from bodywork.errors import BodyworkError, UsageError
from bodywork.git import Git

VARIABLE = "BODYWORK_FETCH"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """`folder` is the project's in the repository; `into` must not be there yet."""

    repository: str
    ref: str
    commit: str
    folder: str
    into: Path
    credential: Path | None

    @classmethod
    def decode(cls, text: str) -> Wish:
        said = json.loads(text)
        credential = said["credential"]
        return cls(
            repository=said["repository"],
            ref=said["ref"],
            commit=said["commit"],
            folder=said["folder"],
            into=Path(said["into"]),
            credential=Path(credential) if credential else None,
        )


def main() -> int:
    wish = Wish.decode(os.environ[VARIABLE])
    try:
        fetch(wish, os.environ)
    except BodyworkError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"bodywork: {error.message}{hint}\n")
        return 1
    return 0


def fetch(wish: Wish, ours: Mapping[str, str]) -> None:
    """Raises the errors of `Git.open` and `Commit.export`."""
    # The mirror lies beside the files, on the disk that is meant for them; the key lies elsewhere.
    wish.into.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as private,
        tempfile.TemporaryDirectory(dir=wish.into.parent, prefix=".fetch-") as scratch,
    ):
        git = _git(wish, Path(private), Path(scratch), ours)
        commit = git.open(_location(wish), wish.commit)
        files = Path(scratch) / "files"
        commit.export(files)
        if wish.into.exists():  # of an attempt before this one
            shutil.rmtree(wish.into)
        (files / wish.folder).rename(wish.into)


def _git(wish: Wish, private: Path, scratch: Path, ours: Mapping[str, str]) -> Git:
    key, environment = None, dict(ours)
    if given := _given(wish, "ssh-privatekey", "SSH_PRIVATE_KEY"):
        # ssh takes no key that others can read, and the files of a Secret are readable by their group.
        key = _copy(given, private / "key")
    if given := _given(wish, "known_hosts", "KNOWN_HOSTS"):
        known = _copy(given, private / "known_hosts")
        environment["GIT_SSH_COMMAND"] = f"ssh -o UserKnownHostsFile={shlex.quote(str(known))}"
    return Git(scratch / "mirrors", environment=environment, ssh_key=key)


def _given(wish: Wish, *names: str) -> Path | None:
    """The file of a key of the Secret: in the words of kubectl, or of `bodywork secret set`."""
    folder = wish.credential
    return next((folder / name for name in names if (folder / name).exists()), None) if folder else None


def _copy(given: Path, to: Path) -> Path:
    to.touch(mode=0o600)
    to.write_bytes(given.read_bytes())
    return to


def _location(wish: Wish) -> str:
    """The repository's address, with user and password where the credential is of that kind."""
    found = _given(wish, "password", "PASSWORD")
    if found is None:
        return wish.repository
    parts = urlsplit(wish.repository)
    if parts.scheme not in ("https", "http"):
        raise UsageError(
            f"a password opens no repository at {wish.repository}",
            hint="name it by https, or use an ssh key: ssh-privatekey and known_hosts",
        )
    password, name = found.read_text().strip(), _given(wish, "username", "USERNAME")
    user = name.read_text().strip() if name else "git"
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"))


if __name__ == "__main__":
    sys.exit(main())
