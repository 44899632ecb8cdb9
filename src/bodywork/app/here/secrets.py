"""Whether this machine has all secrets that the stages of a project name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from bodywork.app.parts import Parts
from bodywork.app.secret_users import secret_users
from bodywork.errors import NotFoundError
from bodywork.secret import Entry, set_command
from bodywork.spec.model import Project

Key = tuple[str, str]
"""A secret's name and the name of one of its keys."""


def require(parts: Parts, project: Project, only: Collection[str] | None = None) -> None:
    """See that the stages can have their secrets, before anything runs.

    `only` names the stages of the workflow that will run (None: all). Raises NotFoundError, and
    UsageError for values that others can read.
    """
    group, users = project.secrets_group, secret_users(project, only)
    missing = [key for key in users if not parts.secrets.has(*key, group)]
    if missing:
        raise _missing(parts.secrets.entries(), project, {key: users[key] for key in missing})
    for key in users:
        parts.secrets.read(*key, group)


def _missing(entries: list[Entry], project: Project, users: Mapping[Key, list[str]]) -> NotFoundError:
    group = project.secrets_group
    listed = [
        f"{secret}/{key} (for {', '.join(stages)}){_instead(entries, secret, key, group)}"
        for (secret, key), stages in users.items()
    ]
    where = f" in group {group}" if group else ""
    commands = [set_command(secret, key, group) for secret, key in users]
    return NotFoundError(
        f"secrets that stages of {project.name} name are not there{where}: {', '.join(listed)}",
        hint="set each value, which is asked for: " + "; ".join(commands),
    )


def _instead(entries: list[Entry], secret: str, key: str, group: str | None) -> str:
    """What may have been meant, in words."""
    here = {entry.name: entry for entry in entries if entry.group == group}
    if secret in here:
        near = difflib.get_close_matches(key, here[secret].keys, n=1)
        return (
            f": the secret has {near[0]}" if near else f": the secret has only {', '.join(here[secret].keys)}"
        )
    if near := difflib.get_close_matches(secret, here, n=1):
        return f": there is a secret {near[0]}"
    others = [f"group {e.group}" if e.group else "no group" for e in entries if e.name == secret]
    return f": it is in {', '.join(others)}" if others else ""
