"""Which runs may be forgotten: by count and age, never what is needed by releases, `--only` or services."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bodywork.run.ledger import Release, RunRecord
from bodywork.run.retention import Past, Policy, inputs_of, spare
from bodywork.run.states import RunState

NOW = 1_000_000.0
DAY = 86400.0


def record(number: int, **more: object) -> RunRecord:
    """The older, the greater its number: one a day."""
    plain = RunRecord(
        run=f"r{number}",
        pipeline="iris",
        target="local",
        repository="/iris",
        ref="main",
        commit="c" * 40,
        state=RunState.SUCCEEDED,
        started=NOW - number * DAY - 60,
        ended=NOW - number * DAY,
        kind="deploy",
        reason="",
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def release(number: int, *digests: str) -> Release:
    inputs = {f"i{place}": digest for place, digest in enumerate(digests)}
    return Release(
        pipeline="iris", target="local", run=f"r{number}", commit="c", at=0.0, services={"serve": inputs}
    )


def gone(past: Past, **policy: object) -> list[str]:
    return [one.run for one in spare(past, Policy(**policy), NOW)]  # type: ignore[arg-type]


RUNS = [record(number) for number in range(10)]


def test_beyond_the_count_and_older_than_the_age_go() -> None:
    past = Past(records=RUNS, releases=[])
    assert gone(past, keep=8) == ["r8", "r9"]
    assert gone(past, keep=2, older_than=7.5 * DAY) == ["r8", "r9"]
    assert gone(past, keep=9, older_than=2 * DAY) == ["r9"]
    assert gone(past, keep=1) == [f"r{number}" for number in range(1, 10)]


def test_releases_stay_with_the_runs_that_made_what_they_read() -> None:
    made = {"r9": {("train", "model"): "old"}, "r5": {("train", "model"): "new"}}
    past = Past(records=RUNS, releases=[release(4, "new"), release(7, "old")], made=made)
    assert gone(past, keep=1) == ["r1", "r2", "r3", "r6", "r8"]
    assert gone(past, keep=1, releases=1) == ["r1", "r2", "r3", "r6", "r7", "r8", "r9"]


def test_of_releases_that_are_alike_the_newest_counts() -> None:
    """`rollback` passes over them: what it goes back to stays, after however many nights of nothing new."""
    made = {f"r{number}": {("train", "model"): "same" if number < 8 else "other"} for number in range(10)}
    releases = [release(number, "same") for number in range(8)] + [release(8, "other"), release(9, "other")]
    past = Past(records=RUNS, releases=releases, made=made)
    assert gone(past, keep=1, releases=2) == ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r9"]
    assert gone(past, keep=1, releases=1) == [f"r{number}" for number in range(1, 10)]


def test_the_newest_of_each_output_stays_but_not_that_of_another_day() -> None:
    made = {f"r{number}": {("train", "model"): f"m{number}"} for number in range(3, 10)}
    assert gone(Past(records=RUNS, releases=[], made=made), keep=1)[:3] == ["r1", "r2", "r4"]
    filled = [record(n, backfill="a..b" if n == 1 else "c..d" if 1 < n < 5 else None) for n in range(10)]
    assert gone(Past(records=filled, releases=[], made=made), keep=1) == [
        *("r2", "r3", "r4"),
        *("r6", "r7", "r8", "r9"),
    ]


def test_what_serves_and_what_is_in_progress_stays() -> None:
    made = {"r9": {("train", "model"): "m"}, "r8": {("train", "model"): "n"}}
    past = Past(records=RUNS, releases=[], made=made, in_use={"r6"}, serving={"m"})
    assert gone(past, keep=1) == ["r1", "r2", "r3", "r4", "r5", "r7"]


def test_what_a_kept_run_was_given_stays_also_when_a_later_run_made_it_again() -> None:
    made = {"r2": {("a", "x"): "d"}, "r0": {("a", "x"): "e"}}
    past = Past(records=RUNS, releases=[], made=made, read={"r5": {"d"}}, in_use={"r5"})
    assert "r2" not in gone(past, keep=1)


digests = st.sampled_from("abcdef")


@given(
    made=st.lists(st.dictionaries(st.sampled_from("xyz"), digests, max_size=2), min_size=1, max_size=12),
    read=st.dictionaries(st.integers(0, 11), digests, max_size=3),
    released=st.dictionaries(st.integers(0, 11), st.lists(digests, max_size=2), max_size=5),
    serving=st.sets(digests, max_size=1),
    keep=st.integers(1, 12),
    releases=st.integers(0, 3),
    age=st.integers(0, 12),
)
def test_whatever_is_kept_has_somebody_on_record_who_made_it(
    made: list[dict[str, str]],
    read: dict[int, str],
    released: dict[int, list[str]],
    serving: set[str],
    keep: int,
    releases: int,
    age: int,
) -> None:
    past = Past(
        records=[record(number) for number in range(len(made))],
        releases=[release(number, *released[number]) for number in sorted(released) if number < len(made)],
        made={f"r{n}": {("s", name): digest for name, digest in one.items()} for n, one in enumerate(made)},
        read={f"r{number}": {digest} for number, digest in read.items()},
        serving=serving,
    )
    going = {r.run for r in spare(past, Policy(keep=keep, releases=releases, older_than=age * DAY), NOW)}
    kept = [r.run for r in past.records if r.run not in going]
    assert kept[: min(keep, len(kept))] == [r.run for r in past.records[:keep]]
    assert all(NOW - (r.ended or 0) >= age * DAY for r in past.records if r.run in going)
    alike = {str(one.services): one.run for one in reversed(past.releases)}
    newest = sorted(alike.values(), key=lambda run: int(run[1:]))[:releases]
    assert going.isdisjoint(newest)
    on_record = {d for run in kept for d in past.made.get(run, {}).values()}
    ever = {d for one in past.made.values() for d in one.values()}
    needed = set(serving).union(*(past.read.get(run, set()) for run in kept))
    needed = needed.union(*(inputs_of(one) for one in past.releases if one.run in kept))
    assert needed & ever <= on_record
    newest = {output: digest for one in reversed(made) for output, digest in one.items()}
    assert set(newest.values()) <= on_record
