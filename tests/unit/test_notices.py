"""What there is to tell of a run, given those before it, and how it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bodywork.app.notices import notice_of, occasion_of
from bodywork.run.ledger import RunRecord
from bodywork.run.states import RunState
from bodywork.spec.model import Occasion

RUN = RunRecord(
    run="20260301-060000-1a2b",
    pipeline="iris",
    target="local",
    repository="https://git.example/iris",
    ref="main",
    commit="3f8a1c0d5e7b92a4c6d8e0f1a2b3c4d5e6f70819",
    state=RunState.FAILED,
    started=1772344800.0,
    ended=1772344809.0,
    kind="schedule",
    reason="",
)
STATES = {"s": RunState.SUCCEEDED, "f": RunState.FAILED, "c": RunState.CANCELLED, "r": RunState.RUNNING}


@pytest.mark.parametrize(
    ("state", "earlier", "occasion"),
    [
        ("f", "", Occasion.FAILED),
        ("f", "ss", Occasion.FAILED),
        ("f", "ff", Occasion.FAILED),
        ("s", "", Occasion.FIRST_SUCCESS),
        ("s", "ff", Occasion.FIRST_SUCCESS),
        ("s", "s", None),
        ("s", "sf", None),
        ("s", "fs", Occasion.RECOVERED),
        ("s", "rs", Occasion.RECOVERED),
        ("s", "ffffs", Occasion.RECOVERED),
        ("c", "s", None),
        ("r", "s", None),
    ],
)
def test_what_there_is_to_tell(state: str, earlier: str, occasion: Occasion | None) -> None:
    """`earlier` has the newest first; one that is recorded as running was interrupted."""
    before = [replace(RUN, run=f"{number}", state=STATES[one]) for number, one in enumerate(earlier)]
    assert occasion_of(replace(RUN, state=STATES[state]), before) is occasion


def test_a_message_holds_no_marks_of_its_own() -> None:
    record = replace(RUN, reason="<!channel> 1 & 2", date="2026-03-01")
    first, details = notice_of(Occasion.FAILED, record, [], "train").message()["text"].split("\n")
    assert first == "*iris* on local failed: &lt;!channel&gt; 1 &amp; 2"
    assert details == (
        "run 20260301-060000-1a2b for 2026-03-01 at commit 3f8a1c0d5e7b (main) — "
        "`bodywork logs iris --run 20260301-060000-1a2b`"
    )


def test_a_reason_of_any_length_fits() -> None:
    record = replace(RUN, reason="x" * 100_000)
    assert len(notice_of(Occasion.FAILED, record, [], None).message()["text"]) < 3000
