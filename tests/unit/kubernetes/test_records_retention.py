"""Which runs' records may go: never what a release or a later run may ask for."""

from dataclasses import replace
from typing import Any

from bodywork.run.events import StageEnded, made_by
from bodywork.run.ledger import Release, RunRecord
from bodywork.run.retention import Made, Policy
from bodywork.run.states import RunState, StageState
from bodywork.targets.kubernetes.records.retention import dispensable


def record(number: int, state: RunState = RunState.SUCCEEDED) -> RunRecord:
    fields: dict[str, Any] = {"pipeline": "p", "target": "k", "repository": "r", "ref": "", "commit": "c"}
    return RunRecord(
        run=f"r{number:02}", state=state, started=number, ended=None, kind="deploy", reason="", **fields
    )


def release(number: int, digest: str) -> Release:
    services = {"serve": {"model": digest}}
    return Release(
        pipeline="p", target="k", run=f"r{number:02}", commit=f"c{number}", at=number, services=services
    )


async def going(
    records: list[RunRecord],
    releases: list[Release],
    keep: int,
    made: dict[str, dict[str, str]],
    among: set[str] | None = None,
) -> list[str]:
    async def outputs(record: RunRecord) -> Made:
        return {("train", name): digest for name, digest in made.get(record.run, {}).items()}

    newest_first = sorted(records, key=lambda one: one.started, reverse=True)
    chosen = {one.run for one in records} if among is None else among
    return [one.run for one in await dispensable(newest_first, releases, Policy(keep=keep), outputs, chosen)]


async def test_runs_beyond_the_newest_go() -> None:
    assert await going([record(n) for n in range(5)], [], 3, {}) == ["r01", "r00"]
    assert await going([record(n) for n in range(5)], [], 5, {}) == []


async def test_of_chosen_runs_only_those_that_nothing_needs_go() -> None:
    records, made = [record(n) for n in range(5)], {"r01": {"model": "served"}}
    assert await going(records, [release(4, "served")], 1, made, {"r02", "r01", "r00"}) == ["r02", "r00"]


async def test_a_run_that_has_not_ended_stays() -> None:
    records = [record(0, RunState.RUNNING), record(1, RunState.FAILED), record(2)]
    assert await going(records, [], 1, {}) == ["r01"]


async def test_the_newest_ten_releases_stay_with_what_made_their_models() -> None:
    records = [record(n) for n in range(15)]
    releases = [release(n, "old-model") for n in range(14, 1, -1)]
    made = {"r00": {"model": "old-model"}, "r01": {"model": "older"}, "r14": {"model": "fresh"}}
    # r00 made what r05 to r14 serve; r02 to r04 are too old to be gone back to
    assert await going(records, releases, 2, made) == ["r04", "r03", "r02", "r01"]


async def test_a_model_that_a_newer_run_made_too_is_needed_once() -> None:
    records = [record(n) for n in range(4)]
    made = {run: {"model": "same"} for run in ("r00", "r01", "r02")}
    assert await going(records, [release(3, "same")], 2, made) == ["r01", "r00"]


async def test_the_newest_of_each_output_stays_for_chosen_stages() -> None:
    records = [record(n) for n in range(4)]
    assert await going(records, [], 1, {"r00": {"data": "d0"}, "r01": {"data": "d1"}}) == ["r02", "r00"]


def test_only_what_succeeded_has_made_anything() -> None:
    good = StageEnded(at=1.0, stage="a", state=StageState.SUCCEEDED, outputs={"m": "d"})
    bad = StageEnded(at=1.0, stage="b", state=StageState.FAILED, outputs={"m": "d"})
    assert made_by([good, bad]) == {("a", "m"): "d"}


async def test_the_days_of_the_newest_back_fill_stay() -> None:
    """A back-fill of more days than runs are kept still knows which it has done."""
    march, april = "2026-03-01..2026-03-31", "2026-04-01..2026-04-30"
    days = [replace(record(n), backfill=march) for n in range(1, 5)]
    failed = replace(record(5, RunState.FAILED), backfill=march)
    assert await going([record(0), *days, failed, record(6)], [], 1, {}) == ["r05", "r00"]
    newer = replace(record(7), backfill=april)
    assert await going([*days, newer, record(8)], [], 1, {}) == ["r04", "r03", "r02", "r01"]


async def test_what_was_made_for_another_day_is_not_the_newest() -> None:
    day = replace(record(1), backfill="2026-03-01..2026-03-01")
    later = replace(record(2), backfill="2026-04-01..2026-04-01")
    made = {"r00": {"model": "file:a"}, "r01": {"model": "file:b"}, "r02": {"model": "file:c"}}
    assert await going([record(0), day, later, record(3)], [], 1, made) == ["r01"]
