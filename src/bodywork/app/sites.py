"""From what the user named to the site that is meant."""

from __future__ import annotations

from bodywork.app.parts import Parts
from bodywork.app.site import Site
from bodywork.app.where import Where


def open_site(parts: Parts, where: Where) -> Site:
    """The site, to be used once, as a context manager of one event loop. Raises UsageError."""
    from bodywork.app.here import LocalSite

    return LocalSite(parts)
