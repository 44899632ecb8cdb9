"""From what the user named to the site that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bodywork.app.git_access import GitAccess
from bodywork.app.parts import Parts
from bodywork.app.site import Site
from bodywork.app.where import LOCAL, Where
from bodywork.errors import UsageError
from bodywork.spec.model import Project


def open_site(
    parts: Parts, where: Where, project: Project | None = None, *, access: GitAccess | None = None
) -> Site:
    """The site, to be used once, as a context manager of one event loop. Raises UsageError.

    `project` is the one that will be deployed; without it, pipelines are known by their records.
    `access` is what its repository is to be opened with.
    """
    if where.kind == LOCAL:
        from bodywork.app.here.site import LocalSite

        return LocalSite(parts)
    with wanting_the_extra():
        from bodywork.app.cluster.site import ClusterSite
    return ClusterSite(parts, where, project, access=access)


@contextmanager
def wanting_the_extra() -> Iterator[None]:
    """Says what to install when an import inside fails for want of a package. Raises UsageError."""
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.startswith("bodywork"):
            raise
        raise UsageError(
            f"the target kubernetes needs a package that is not installed: {error.name}",
            hint="install it: pip install 'bodywork[kubernetes]'",
        ) from error
