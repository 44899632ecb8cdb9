"""What the objects of a pipeline depend on besides its plan: the namespace, the images, the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bodywork import __version__
from bodywork.errors import UsageError
from bodywork.spec.model import Cache, Project, Stage
from bodywork.spec.names import is_label

IMAGE = f"bodywork/bodywork:{__version__}-python{{python}}"
STORE_IMAGE = "versity/versitygw:v1.8.0"
TOOL_PYTHON = "3.12"
"""The Python of the image in which bodywork itself runs: fetches, brings inputs, controls a run."""

IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Plain data; all times are in seconds.

    `image` is the image of stages, in which `{python}` stands for the stage's Python version.
    `gateway` (NAMESPACE/NAME) is the one to take where the project names none.
    `prepare_timeout` is how long a pod may take before its module starts, `drain` how long a
    service goes on after it was told to end, since requests still come to it for a moment, and
    `grace` how long modules then have. `keep_finished` is how long Kubernetes keeps ended Jobs.
    """

    namespace: str
    image: str = IMAGE
    store_image: str = STORE_IMAGE
    pull_policy: str = "IfNotPresent"
    cache: Cache | None = None
    gateway: str | None = None
    prepare_timeout: float = 1800.0
    drain: float = 5.0
    grace: float = 30.0
    keep_finished: int = 24 * 3600

    @classmethod
    def of(
        cls,
        project: Project,
        ours: Mapping[str, str],
        *,
        namespace: str | None = None,
        image: str | None = None,
        store_image: str | None = None,
    ) -> Settings:
        """For a project; `ours` is our environment, the others are what the command line says.

        Reads BODYWORK_IMAGE and BODYWORK_STORE_IMAGE. Raises UsageError for what is no name.
        """
        cluster = project.cluster
        return cls(
            namespace=checked_namespace(namespace or cluster.namespace or project.object_name),
            image=_image(image, "--image") or _image(ours.get("BODYWORK_IMAGE"), "BODYWORK_IMAGE") or IMAGE,
            store_image=_image(store_image, "--store-image")
            or _image(ours.get("BODYWORK_STORE_IMAGE"), "BODYWORK_STORE_IMAGE")
            or STORE_IMAGE,
            cache=cluster.cache,
            gateway=ours.get("BODYWORK_GATEWAY") or None,
            prepare_timeout=cluster.prepare_timeout or cls.prepare_timeout,
        )

    def image_for(self, python: str) -> str:
        """bodywork's own image for a Python version, patch releases set aside."""
        return self.image.replace("{python}", ".".join(python.split(".")[:2]))

    def image_of(self, stage: Stage) -> str:
        """The image that a stage runs in: its own, or bodywork's."""
        return stage.image or self.image_for(stage.python)

    @property
    def tool_image(self) -> str:
        """The image in which bodywork itself runs."""
        return self.image_for(TOOL_PYTHON)


def checked_namespace(name: str) -> str:
    if not is_label(name):
        raise UsageError(
            f'"{name}" cannot be the name of a namespace',
            hint='it has at most 63 lower-case letters, digits and "-", and begins with a letter',
        )
    return name


def _image(name: str | None, said: str) -> str | None:
    if name and not IMAGE_NAME.fullmatch(name.replace("{python}", "3")):
        raise UsageError(
            f'{said}: "{name}" is not the name of an image',
            hint=f"write one like {IMAGE}, where {{python}} stands for the stage's Python version",
        )
    return name or None
