import pytest

from bodywork.run.events import (
    Event,
    RunEnded,
    RunStarted,
    StageEnded,
    StagePrepared,
    StagePreparing,
    StageRetrying,
    StageStarted,
)
from bodywork.run.replay import RunView
from bodywork.run.states import RunState, StageState

STARTED = RunStarted(at=1.0, run="r")
RESUMED = RunStarted(at=50.0, run="r", resumed=True)


def started(stage: str, at: float = 3.0, attempt: int = 1) -> StageStarted:
    return StageStarted(at=at, stage=stage, attempt=attempt, handle=f"{stage}/{attempt}")


def ended(stage: str, state: StageState = StageState.SUCCEEDED, at: float = 9.0) -> StageEnded:
    return StageEnded(at=at, stage=stage, state=state, outputs={"model": "m"} if state.good else {})


def view(*events: Event, on_failure: str | None = None) -> RunView:
    return RunView(["train", "serve", "tell"], on_failure).replay(events)


def test_a_stage_from_preparation_to_its_end() -> None:
    run = view(STARTED, StagePreparing(at=1.5, stage="train"))
    train = run.stages["train"]
    assert (train.state, train.preparing_since, train.prepared) == (StageState.PREPARING, 1.5, False)
    run.apply(StagePrepared(at=2.0, stage="train"))
    assert (train.state, train.preparing_since, train.prepared) == (StageState.PENDING, None, True)
    run.apply(started("train"))
    assert (train.state, train.started, train.attempt) == (StageState.RUNNING, 3.0, 1)
    assert run.unfinished() == {"train": "train/1"}
    run.apply(ended("train"))
    assert (train.state, train.ended, train.outputs) == (StageState.SUCCEEDED, 9.0, {"model": "m"})
    assert run.unfinished() == {}


def test_a_retry_counts_from_the_first_start() -> None:
    retrying = StageRetrying(at=5.0, stage="train", attempt=1, delay=1.0, reason="exited with 1")
    run = view(STARTED, started("train"), retrying)
    assert run.unfinished() == {}
    assert run.stages["train"].reason == "exited with 1"
    run.apply(started("train", at=6.0, attempt=2))
    train = run.stages["train"]
    assert (train.started, train.attempt, train.reason) == (3.0, 2, "")


def test_a_resumed_run_keeps_what_ended_well() -> None:
    run = view(STARTED, ended("train"), started("serve"), ended("serve", StageState.FAILED))
    run.apply(RunEnded(at=10.0, state=RunState.FAILED, reason="serve failed"))
    assert (run.state, run.reason, run.ended) == (RunState.FAILED, "serve failed", 10.0)
    run.apply(RESUMED)
    assert (run.state, run.reason, run.started, run.ended) == (RunState.RUNNING, "", 1.0, None)
    assert run.stages["train"].state is StageState.SUCCEEDED
    assert run.stages["serve"].state is StageState.PENDING


def test_the_stage_for_failures_may_run_again_after_a_new_failure_only() -> None:
    told = (STARTED, ended("train", StageState.FAILED), started("tell"), ended("tell"))
    after_end = view(*told, RunEnded(at=10.0, state=RunState.FAILED), RESUMED, on_failure="tell")
    interrupted = view(*told, RESUMED, on_failure="tell")
    assert after_end.stages["tell"].state is StageState.PENDING
    assert interrupted.stages["tell"].state is StageState.SUCCEEDED


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([ended("train"), started("train")], "stage train cannot go from succeeded to running"),
        ([started("train"), ended("train", StageState.SKIPPED)], "from running to skipped"),
        ([ended("train"), ended("train")], "from succeeded to succeeded"),
    ],
)
def test_moves_that_no_state_has_are_refused(events: list[Event], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        view(STARTED, *events)
