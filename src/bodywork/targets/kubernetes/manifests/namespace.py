"""The namespace of a pipeline, when it is not there yet."""

from __future__ import annotations

from collections.abc import Mapping

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
    level = "privileged" if on_nodes else "restricted"
    return _namespace(settings.namespace, labels.of_pipeline(project), level)


def empty(name: str) -> Object:
    """One that is no pipeline's, so that none takes it away: its secrets are somebody's."""
    return _namespace(name, {labels.MANAGED_BY: labels.MANAGER}, "restricted")


def _namespace(name: str, marks: Mapping[str, str], level: str) -> Object:
    levels = {f"{LEVEL}/enforce": level, f"{LEVEL}/warn": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {**marks, **levels}},
    }
