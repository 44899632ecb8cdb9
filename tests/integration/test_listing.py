"""Lists of runs and pipelines, while somebody deletes one that is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bodywork.app import status
from bodywork.app.parts import Parts
from bodywork.app.past import state_of
from bodywork.app.site import Site
from bodywork.app.where import Where
from bodywork.run.ledger import RunRecord
from bodywork.run.states import RunState
from workflows import batch, plan, project, run_record


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Two pipelines, each with a run that nobody carries out any more."""
    made = Parts({"HOME": str(tmp_path), "BODYWORK_HOME": str(tmp_path / "state")})
    made.home.make()
    for name in ("going", "staying"):
        train = batch("train")
        named = project(train)
        named = type(named)(**{**vars(named), "name": name})
        record = run_record(f"20260101-000000-{name[:4]}", pipeline=name)
        made.history.begin(record, plan(train, run=record.run, target="local", project=named))
    return made


@pytest.fixture(autouse=True)
def deleting(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is deleted just when its state is to be found out."""

    async def late(site: Site, record: RunRecord) -> RunState:
        if record.pipeline == "going":
            await site.records.forget("going")
        return await state_of(site, record)

    monkeypatch.setattr(status, "state_of", late)


def test_runs_are_those_that_are_left(parts: Parts) -> None:
    found = status.runs(parts, Where(target="local"), None, 10)
    assert [(record.pipeline, state) for record, state in found] == [("staying", RunState.INTERRUPTED)]


def test_pipelines_are_those_that_are_left(parts: Parts) -> None:
    assert [one.record.pipeline for one in status.overview(parts, Where(target="local"))] == ["staying"]
