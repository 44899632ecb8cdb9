"""The small parts under the target: logs that are begun anew, the runtime's own lines, what serves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodywork.targets.kubernetes.pods.diagnose import Obstacle
from bodywork.targets.kubernetes.pods.podlogs import LONGEST_LINE, Lines
from bodywork.targets.kubernetes.pods.printed import KEPT, Prologue, Tail
from bodywork.targets.kubernetes.pods.waiting import Patience
from bodywork.targets.kubernetes.services.releases import done, half_done, serving_before


def stamped(lines: list[bytes], seconds: list[int]) -> list[bytes]:
    return [
        b"2026-01-01T00:00:%02d.000000000Z %s\n" % (at, line) for at, line in zip(seconds, lines, strict=True)
    ]


class TestLines:
    def test_stamps_are_taken_off_across_chunks(self) -> None:
        lines = Lines()
        log = b"".join(stamped([b"one", b"", b"three"], [1, 1, 2]))
        assert b"".join(lines.take(log[n : n + 7]) for n in range(0, len(log), 7)) == b"one\n\nthree\n"

    def test_a_last_line_without_an_end(self) -> None:
        lines = Lines()
        assert lines.take(stamped([b"no end"], [1])[0][:-1]) == b""
        assert lines.rest() == b"no end\n"

    @given(st.data())
    def test_a_log_begun_anew_tells_each_line_once(self, data: st.DataObject) -> None:
        """Also where what came on stdout and on stderr has changed places: their stamps are not in order."""
        count = data.draw(st.integers(1, 12))
        times = sorted(data.draw(st.lists(st.integers(0, 4999), min_size=count, max_size=count)))
        late = data.draw(st.lists(st.integers(0, 900), min_size=count, max_size=count))
        texts = [b"line %d" % number for number in range(count)]
        log = [
            b"2026-01-01T00:00:%02d.%03d000000Z %s\n" % (*divmod(max(0, at - less), 1000), text)
            for at, less, text in zip(times, late, texts, strict=True)
        ]
        lines, told = Lines(), b""
        for cut in sorted(data.draw(st.lists(st.integers(0, count), max_size=4))):
            lines.again()
            since = [one for one in log[:cut] if one[:30].decode() >= lines.since[:19]]
            told += lines.take(b"".join(since)[: data.draw(st.integers(0, 9999))])
        lines.again()
        told += lines.take(b"".join(one for one in log if one[:30].decode() >= lines.since[:19]))
        assert told == b"".join(text + b"\n" for text in texts)

    def test_a_log_that_was_rotated_meanwhile_goes_on(self) -> None:
        lines = Lines()
        lines.take(b"".join(stamped([b"one", b"two"], [1, 1])))
        lines.again()
        assert lines.take(b"".join(stamped([b"three", b"four"], [2, 2]))) == b"three\nfour\n"

    def test_a_very_long_line_comes_in_parts_and_is_not_kept(self) -> None:
        lines, told = Lines(), 0
        lines.take(b"2026-01-01T00:00:00.000000000Z ")
        for _ in range(50):
            told += len(lines.take(b"x" * 100_000))
        told += len(lines.take(b"\n"))
        assert told == 5_000_001
        assert told > LONGEST_LINE

    @pytest.mark.parametrize("cut", [0, 40, 1_500_000, 2_999_000, 3_000_033, 3_000_062])
    def test_a_very_long_line_is_told_once(self, cut: int) -> None:
        long, after = stamped([b"y" * 3_000_000, b"after"], [1, 1])
        log, lines, told = long + after, Lines(), b""
        for part in (log[:cut], log):
            lines.again()
            told += b"".join(lines.take(part[n : n + 65536]) for n in range(0, len(part), 65536))
        assert told == b"y" * 3_000_000 + b"\nafter\n"

    def test_what_says_that_the_log_is_gone_is_no_line_of_it(self) -> None:
        lines = Lines()
        assert lines.take(b"".join(stamped([b"one"], [1]))) == b"one\n"
        lines.again()
        assert lines.take(b"unable to retrieve container logs for containerd://a859") == b""
        assert lines.rest() == b""


class TestPrologue:
    def test_the_runtimes_lines_are_no_output(self) -> None:
        prologue = Prologue()
        assert prologue.take(b"bodywork: unpacking\n") == b""
        assert (prologue.began, prologue.last) == (False, "unpacking")
        assert prologue.take(b"odd\nbodywork: starting a.py (ready)\nbodywork: says the module\n") == (
            b"odd\nbodywork: says the module\n"
        )
        assert prologue.began
        assert prologue.take(b"bodywork: starting again\n") == b"bodywork: starting again\n"


@given(st.lists(st.binary(max_size=KEPT * 2), max_size=6))
def test_the_tail_is_the_end_of_what_was_printed(pieces: list[bytes]) -> None:
    tail = Tail()
    for piece in pieces:
        tail.add(piece)
    assert tail.text == b"".join(pieces)[-KEPT:]


def deployment(run: str, *, complete: str = "", updated: int = 2, replicas: int = 2) -> dict[str, Any]:
    annotations = {"bodywork/complete": complete} if complete else {}
    return {
        "metadata": {"name": "serve", "generation": 3, "annotations": annotations},
        "spec": {"replicas": 2, "template": {"metadata": {"annotations": {"bodywork/run": run}}}},
        "status": {
            "observedGeneration": 3,
            "updatedReplicas": updated,
            "replicas": replicas,
            "availableReplicas": 2,
        },
    }


def replica_set(run: str, ready: int = 0) -> dict[str, Any]:
    template = {"metadata": {"annotations": {"bodywork/run": run}}}
    return {"metadata": {"name": run}, "spec": {"template": template}, "status": {"readyReplicas": ready}}


class TestReleases:
    @pytest.mark.parametrize(
        ("there", "is_done"),
        [
            (deployment("b"), True),
            (deployment("b", updated=1, replicas=3), False),
            (deployment("b", replicas=3), False),
        ],
    )
    def test_done_when_all_pods_are_new_and_ready(self, there: dict[str, Any], is_done: bool) -> None:
        assert done(there) is is_done
        there["metadata"]["generation"] = 4
        assert not done(there)

    def test_a_release_that_once_was_complete_is_not_half_done_when_a_pod_is_lost(self) -> None:
        assert half_done(deployment("b", complete="a", updated=1, replicas=3))
        assert not half_done(deployment("b", complete="b", updated=1, replicas=1))

    def test_the_one_that_was_complete_is_gone_back_to(self) -> None:
        sets = [replica_set("c"), replica_set("b", ready=1), replica_set("a", ready=2)]
        found = serving_before(deployment("c", complete="a"), sets)
        assert found is not None
        assert found["metadata"]["name"] == "a"

    def test_where_none_is_named_one_that_has_ready_pods(self) -> None:
        found = serving_before(
            deployment("c"), [replica_set("c"), replica_set("b"), replica_set("a", ready=1)]
        )
        assert found is not None
        assert found["metadata"]["name"] == "a"
        assert serving_before(deployment("c"), [replica_set("c", ready=1)]) is None


def test_patience_counts_from_the_first_time_that_the_same_was_said() -> None:
    now = [0.0]
    patience = Patience(now=lambda: now[0])
    image = Obstacle(reason="image a cannot be pulled: x", patience=60, kind="image")
    again = Obstacle(reason="image a cannot be pulled", patience=60, kind="image")
    assert not patience.hopeless(image)
    now[0] = 59
    assert not patience.hopeless(again)
    now[0] = 61
    assert patience.hopeless(image)
    assert not patience.hopeless(Obstacle(reason="another", patience=5))
