"""The namespace of a pipeline, when it is not there yet."""

from __future__ import annotations

from bodywork.spec.model import Project
from bodywork.targets.kubernetes import labels
from bodywork.targets.kubernetes.kinds import Object
from bodywork.targets.kubernetes.settings import Settings

LEVEL = "pod-security.kubernetes.io"


def namespace(project: Project, settings: Settings) -> Object:
    """It enforces Pod Security "restricted", but where the cache is a folder of the nodes.

    Such a volume is allowed by the level "privileged" alone; all else still keeps to "restricted",
    which the server then only warns about.
    """
    on_nodes = settings.cache is not None and settings.cache.path is not None
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": settings.namespace,
            "labels": {
                **labels.of_pipeline(project),
                f"{LEVEL}/enforce": "privileged" if on_nodes else "restricted",
                f"{LEVEL}/warn": "restricted",
            },
        },
    }
