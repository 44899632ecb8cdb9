"""What an attempt of a stage is given to start with: its launch and the containers that come before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bodywork.artifacts.pieces import Signed
from bodywork.errors import StageError
from bodywork.run.plan import Plan, PlannedStage
from bodywork.spec.model import Kind
from bodywork.targets.kubernetes.manifests.containers import InitContainer, fetched
from bodywork.targets.kubernetes.manifests.launch import Launch, input_file
from bodywork.targets.kubernetes.provisions import Provisions
from bodywork.targets.kubernetes.settings import Settings
from bodywork.targets.kubernetes.store.location import Location
from bodywork.targets.kubernetes.store.store import PipelineStore

Locate = Callable[[str], Awaitable[Location | None]]
"""Where a digest was made, out of the records of earlier runs, or earlier in this one."""


@dataclass(frozen=True, kw_only=True)
class Launching:
    """`init` are the containers that come before the stage's own."""

    launch: Launch
    init: tuple[InitContainer, ...]


@dataclass(kw_only=True)
class Launches:
    """Those of one run. What it has made is known here; all else is `locate`d."""

    settings: Settings
    locate: Locate
    _made: dict[str, Location] = field(default_factory=dict, init=False)

    def made(self, plan: Plan, stage: str, attempt: int, outputs: Mapping[str, str]) -> None:
        """Note the digests of what an attempt has made, by output."""
        for output, digest in outputs.items():
            self._made[digest] = _location(plan, stage, attempt, output)

    async def of(
        self,
        plan: Plan,
        planned: PlannedStage,
        provisions: Provisions,
        *,
        attempt: int,
        digests: Mapping[str, str],
    ) -> Launching:
        """`digests` are those of its inputs, by input name."""
        stage, whole = planned.stage, provisions.source.whole
        inputs = {one.name: digests[one.name] for one in stage.inputs if one.name in digests}
        locations = {name: await self._located(digest, stage.name) for name, digest in inputs.items()}
        init = () if whole else (fetched(plan, self.settings, credential=provisions.credential),)
        downloads: dict[str, Signed] = {}
        if inputs and stage.kind is Kind.SERVICE:
            files = {one.name: input_file(plan, one) for one in stage.inputs}
            store = _needed(provisions.store)
            init = (*init, store.bringing(planned, files, inputs, locations, self.settings))
        elif inputs:
            store = _needed(provisions.store)
            downloads = {name: store.download(location) for name, location in locations.items()}
        launch = Launch.of(
            plan,
            planned,
            provisions.locks[planned.environment],
            self.settings,
            digests=digests,
            uploads=_uploads(plan, planned, attempt, provisions.store),
            downloads=downloads,
            whole=whole,
        )
        return Launching(launch=launch, init=init)

    async def _located(self, digest: str, reader: str) -> Location:
        found = self._made.get(digest) or await self.locate(digest)
        if found is None:
            raise StageError(
                f"no run in the cluster is recorded to have made {digest}, which {reader} reads",
                hint="run the stage that makes it again: bodywork deploy",
            )
        return found


def _uploads(
    plan: Plan, planned: PlannedStage, attempt: int, store: PipelineStore | None
) -> dict[str, Signed]:
    name = planned.stage.name
    return {
        output.name: _needed(store).upload(_location(plan, name, attempt, output.name))
        for output in planned.stage.outputs
    }


def _location(plan: Plan, stage: str, attempt: int, output: str) -> Location:
    return Location(run=plan.run, stage=stage, attempt=attempt, output=output)


def _needed(store: PipelineStore | None) -> PipelineStore:
    if store is None:
        raise RuntimeError("a stage with artifacts was prepared without a store")
    return store
