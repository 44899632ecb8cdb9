"""Who of a project names secrets: its stages, and its webhooks."""

from __future__ import annotations

from collections.abc import Collection

from bodywork.spec.model import Project


def secret_users(project: Project, only: Collection[str] | None) -> dict[tuple[str, str], list[str]]:
    """The names of those that use a key, by the secret and the key.

    `only` names the stages of the workflow that will run (None: all); `on_failure` is one of them, as
    its secret must not be missing when it counts.
    """
    stages = [stage for stage in project.stages if only is None or stage.name in only]
    stages += [project.on_failure] if project.on_failure else []
    users: dict[tuple[str, str], list[str]] = {}
    for stage in stages:
        for named in stage.secrets:
            users.setdefault((named.secret, named.variable), []).append(stage.name)
    for webhook in project.notify:
        if webhook.secret:
            users.setdefault((webhook.secret, webhook.key), []).append("notify")
    return users
