"""The git program: how it is called, so that it asks nothing, runs nothing unasked and speaks plainly."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bodywork import process
from bodywork.errors import MachineError
from bodywork.git import ssh
from bodywork.git.location import Location, credential_variables, shown

OLDEST = (2, 30)
ANSWER = 45.0
"""Seconds that a host may take to list its refs."""
SILENCE = 15
"""Seconds for which a host of https may say nothing at all before it lists them."""

_PROTOCOLS = ("file", "git", "http", "https", "ssh")

# Variables of git that describe the user's machine. All others (GIT_DIR and its kind, set inside
# hooks and aliases; GIT_TRACE) describe some other command and would mislead ours. Tokens and the
# like are not git's but of the user's credential helper.
_KEPT = re.compile(
    r"GIT_(\w*(TOKEN|PASSWORD|USERNAME)|SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|HTTP_\w+|PROXY_\w+|ASKPASS|EXEC_PATH|CEILING_DIRECTORIES"
    r"|DISCOVERY_ACROSS_FILESYSTEM|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|PARAMETERS|(KEY|VALUE)_\d+))"
)

_FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GCM_INTERACTIVE": "never",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
    "GIT_DEFAULT_HASH": "sha1",
    "GIT_DEFAULT_REF_FORMAT": "files",
    "LC_ALL": "C",
    "LANGUAGE": "",
}

_TELLING = ("fatal:", "error:", "ERROR:", "remote:", "ssh:")

# What git adds to whatever ssh said.
_EMPTY_WORDS = (
    "fatal: Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
)

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.splitIndex=false",
    "color.ui=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "protocol.version=2",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "i18n.commitEncoding=UTF-8",
    "advice.addEmbeddedRepo=false",
)


class GitError(Exception):
    """git ended badly. `output` is what it said, without credentials; `code` is None after a timeout.

    `key` is the ssh key that the user named, if that was to open the repository.
    """

    def __init__(
        self, arguments: tuple[str, ...], code: int | None, output: str, key: ssh.Key | None = None
    ) -> None:
        super().__init__(f"git {' '.join(arguments)}: {output}")
        self.arguments = arguments
        self.code = code
        self.output = output
        self.key = key

    @property
    def said(self) -> str:
        """The lines of the output that matter, as one."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        lines = [line for line in lines if line not in _EMPTY_WORDS] or lines
        telling = [line for line in lines if line.startswith(_TELLING)]
        chosen = [re.sub(r"^(fatal|error|ERROR|remote): ?", "", line) for line in telling or lines[-3:]]
        said = "; ".join(line for line in dict.fromkeys(chosen) if line)
        return said[:600] or f"it ended with code {self.code} and said nothing"


@dataclass(frozen=True, kw_only=True)
class Program:
    """git, with the environment it gets. `folder` is a place of ours that is in no repository.

    `key` is the only ssh key to be used; None: those that ssh finds.
    """

    environment: Mapping[str, str]
    folder: Path
    key: ssh.Key | None = None

    @classmethod
    def prepare(
        cls, inherited: Mapping[str, str], folder: Path, *, key_file: str | Path | None = None
    ) -> Program:
        """Raises the errors of `ssh.read_key` for `key_file`."""
        kept = {
            name: value
            for name, value in inherited.items()
            if not name.startswith("GIT_") or _KEPT.fullmatch(name)
        }
        allowed = inherited.get("GIT_ALLOW_PROTOCOL")
        protocols = [name for name in _PROTOCOLS if allowed is None or name in allowed.split(":")]
        # An empty GIT_ASKPASS also keeps git from SSH_ASKPASS, which would open a window.
        asked = {"GIT_ASKPASS": kept.get("GIT_ASKPASS", ""), "GIT_ALLOW_PROTOCOL": ":".join(protocols)}
        key = ssh.read_key(key_file, inherited) if key_file is not None else None
        return cls(environment={**kept, **_FIXED, **asked}, folder=folder, key=key)

    def run(
        self,
        *arguments: str,
        git_dir: Path | None = None,
        cwd: Path | None = None,
        extra: Mapping[str, str] | None = None,
        settings: tuple[str, ...] = (),
        data: bytes = b"",
        location: Location | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """What git prints. Raises GitError, and MachineError when there is no git.

        Without `git_dir` and `cwd` git looks at no repository. A `location` is given where git may
        speak to that host: its credentials go by the environment.
        """
        environment = {**self.environment, **(extra or {})}
        if cwd is None and git_dir is None:
            environment["GIT_CEILING_DIRECTORIES"] = str(self.folder)
        if location is not None:
            environment |= self._remote_variables(location)
        command = ["git"]
        for setting in (*_SETTINGS, *settings):
            command += ["-c", setting]
        if git_dir is not None:
            command.append(f"--git-dir={git_dir}")
        secrets = location.secrets if location else ()
        return self._start([*command, *arguments], arguments, environment, cwd, data, secrets, timeout)

    def _start(
        self,
        command: list[str],
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        cwd: Path | None,
        data: bytes,
        secrets: tuple[str, ...],
        timeout: float | None,
    ) -> bytes:
        if cwd is None:
            make_folder(self.folder)
        try:
            done = process.run_bytes(
                command, cwd=cwd or self.folder, env=environment, data=data, timeout=timeout
            )
        except process.CommandError as error:
            raise GitError(arguments, None, _clean(error.output, secrets), self.key) from None
        except FileNotFoundError:
            raise MachineError(
                "the git program was not found on this machine",
                hint="install git 2.30 or newer and see to it that it is on the PATH",
            ) from None
        if done.code != 0:
            output = done.stderr.decode(errors="replace") or done.stdout.decode(errors="replace")
            raise GitError(arguments, done.code, _clean(output, secrets), self.key)
        return done.stdout

    def _remote_variables(self, location: Location) -> dict[str, str]:
        variables = credential_variables(location, self.environment)
        if location.scheme == "ssh":
            variables |= ssh.variables(self.ssh_command(), self.key)
        return variables

    def ssh_command(self) -> str | None:
        """The user's ssh, as text for a shell; None when it is not OpenSSH."""
        known = self.environment.keys() & {"GIT_SSH_COMMAND", "GIT_SSH"}
        return ssh.program(self.environment, "" if known else self.setting("core.sshCommand"))

    def setting(self, key: str, *, cwd: Path | None = None) -> str:
        """A value of git's configuration; empty when it is not set."""
        try:
            return text(self.run("config", "--get", key, cwd=cwd)).strip()
        except GitError:
            return ""

    def check_version(self) -> None:
        """Raises MachineError when git is older than what we ask of it."""
        said = text(self.run("version")).strip()
        found = re.search(r"(\d+)\.(\d+)", said)
        if found and (int(found[1]), int(found[2])) < OLDEST:
            raise MachineError(f"this machine has {said}, which is too old", hint="install git 2.30 or newer")


def make_folder(path: Path) -> None:
    """Raises MachineError when it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(path, os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise MachineError(
            f"the cache folder {path} cannot be written: {reason}",
            hint="make it writable, or set XDG_CACHE_HOME to a folder that can be written",
        )


def text(data: bytes) -> str:
    """Output of git as text; names that are not UTF-8 survive the way back."""
    return data.decode(errors="surrogateescape")


def raw(name: str) -> bytes:
    """The bytes of a name that `text` made."""
    return name.encode(errors="surrogateescape")


def inherited_environment(environment: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environment is None else environment


def _clean(output: str, secrets: tuple[str, ...]) -> str:
    """What git said, line by line without credentials."""
    for secret in secrets:
        output = output.replace(secret, "***")
    return "\n".join(shown(line) for line in output.replace("\t", " ").splitlines()).strip()
