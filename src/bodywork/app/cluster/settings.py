"""The settings of a project in a cluster, out of what the file, our environment and the command line say."""

from __future__ import annotations

from bodywork.app.parts import Parts
from bodywork.app.where import Where
from bodywork.spec.model import Project
from bodywork.targets.kubernetes.settings import Settings


def settings_of(parts: Parts, where: Where, project: Project, *, otherwise: str | None = None) -> Settings:
    """`otherwise` is the namespace where neither the file nor the command line names one.

    Raises UsageError for what is no name.
    """
    return Settings.of(
        project,
        parts.ours,
        namespace=where.namespace or project.cluster.namespace or otherwise,
        image=where.image,
        store_image=where.store_image,
    )
