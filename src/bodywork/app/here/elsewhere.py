"""What a bodywork.yaml asks for that the target `local` does not do: said, never skipped in silence."""

from __future__ import annotations

from collections.abc import Iterator

from bodywork.spec.model import Cluster, Kind, Placement, Project, Resources


def not_here(project: Project) -> Iterator[str]:
    """A sentence for each setting that has no effect on this machine."""
    for image, version in sorted({(s.image, s.python) for s in project.stages if s.image}):
        yield f"image {image} is for clusters: on this machine its stages run with Python {version}"
    for stage in project.stages:
        if stage.kind is Kind.SERVICE and stage.service.route:
            route = stage.service.route
            yield f"route {route} of {stage.name} is for clusters: here it answers at an address of its own"
        if stage.kind is Kind.SERVICE and (grows := stage.service.autoscale):
            here = f"here it has {stage.service.replicas} of {grows.max} replicas"
            yield f"autoscale of {stage.name} is for clusters: {here}"
    if project.cluster != Cluster() or any(stage.placement != Placement() for stage in project.all_stages):
        yield "what is said under kubernetes is for clusters: it has no effect on this machine"
    limited = [stage.name for stage in project.stages if stage.resources != Resources()]
    if limited:
        yield f"resources are for clusters: nothing limits {', '.join(limited)} on this machine"
