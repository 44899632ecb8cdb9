"""The environment variables of a stage's container: as on a local machine, and secrets by reference."""

from __future__ import annotations

from collections.abc import Mapping

from bodywork.run.plan import Plan
from bodywork.spec.model import Kind, Project, Stage
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.manifests.launch import Launch

HOME = "/work"
"""Not every image has a user 10001 with a folder of its own."""


def of_stage(plan: Plan, stage: Stage, launch: Launch, added: Mapping[str, str]) -> list[Object]:
    """Sorted by name; `added` are those of the engine. A secret wins over a variable of its name."""
    given = {
        "HOME": HOME,
        "BODYWORK_PIPELINE": plan.pipeline,
        "BODYWORK_RUN": plan.run,
        "BODYWORK_STAGE": stage.name,
        "BODYWORK_COMMIT": plan.source.commit,
        "BODYWORK_TARGET": "kubernetes",
        "GIT_COMMIT_HASH": plan.source.commit,
        **({"BODYWORK_DATE": plan.date} if plan.date is not None else {}),
        **({"PORT": str(stage.service.port)} if stage.kind is Kind.SERVICE else {}),
        **stage.env,
        **added,
        "BODYWORK_LAUNCH": launch.encode(),
    }
    entries: dict[str, Object] = {
        name: {"name": name, "value": literal(value)} for name, value in given.items()
    }
    for secret in stage.secrets:
        source = {"name": secret_name(plan.project, secret.secret), "key": secret.variable}
        entries[secret.variable] = {"name": secret.variable, "valueFrom": {"secretKeyRef": source}}
    return [entries[name] for name in sorted(entries)]


def plain(variables: Mapping[str, str]) -> list[Object]:
    """Variables that say what they are."""
    return [{"name": name, "value": literal(value)} for name, value in sorted(variables.items())]


def literal(value: str) -> str:
    """A value that arrives as it is: Kubernetes puts variables in place of `$(NAME)`, and $ for $$."""
    return value.replace("$", "$$")


def secret_name(project: Project, secret: str) -> str:
    """The Secret that holds a secret; those of a group begin with its name."""
    return name_in_cluster(secret, project.secrets_group)


def name_in_cluster(secret: str, group: str | None) -> str:
    """The same, by the names alone."""
    return f"{group}-{secret}" if group else secret
