"""Where a digest lies in the store is known from what runs have recorded."""

from bodywork.run.events import Event, StageEnded, StageStarted
from bodywork.run.states import StageState
from bodywork.targets.kubernetes.store.location import Location, find


def started(stage: str, attempt: int) -> Event:
    return StageStarted(at=0.0, stage=stage, attempt=attempt, handle="")


def ended(stage: str, *, good: bool = True, **outputs: str) -> Event:
    state = StageState.SUCCEEDED if good else StageState.FAILED
    return StageEnded(at=0.0, stage=stage, state=state, outputs=outputs)


def test_the_attempt_that_succeeded_counts() -> None:
    events = [started("train", 1), started("train", 2), ended("train", model="file:1", report="file:2")]
    assert find("file:1", {"r-1": events}) == Location(run="r-1", stage="train", attempt=2, output="model")
    assert find("file:2", {"r-1": events}) == Location(run="r-1", stage="train", attempt=2, output="report")
    assert find("file:3", {"r-1": events}) is None


def test_the_newest_run_counts() -> None:
    events = [started("train", 1), ended("train", model="file:1")]
    found = find("file:1", {"r-2": events, "r-1": events})
    assert found is not None and found.run == "r-2"
    found = find("file:1", {"r-3": [started("train", 1)], "r-1": events})
    assert found is not None and found.run == "r-1"


def test_a_stage_that_failed_has_made_nothing() -> None:
    assert find("file:1", {"r-1": [started("train", 1), ended("train", good=False, model="file:1")]}) is None


def test_a_resumed_run_counts_attempts_anew() -> None:
    events = [started("train", 1), started("train", 2), ended("train", good=False), started("train", 1)]
    found = find("file:1", {"r-1": [*events, ended("train", model="file:1")]})
    assert found is not None and found.attempt == 1
