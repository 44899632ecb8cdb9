from bodywork.run.graph import Waiting, in_order, narrowed, nearest_upstream
from workflows import batch, service


def test_stages_come_due_when_all_before_them_are_good() -> None:
    waiting = Waiting([batch("a"), batch("b"), batch("c", "ab"), batch("d", "c")])
    assert waiting.first() == ["a", "b"]
    assert waiting.good("b") == []
    assert waiting.good("a") == ["c"]
    assert waiting.good("c") == ["d"]
    assert waiting.good("d") == []


def test_a_predecessor_that_takes_no_part_is_not_waited_for() -> None:
    assert Waiting([batch("b", ["a"])]).first() == ["b"]


def test_a_wide_step_after_a_wide_step_costs_no_million_edges() -> None:
    names = frozenset(f"a{i}" for i in range(1000))
    stages = [batch(name) for name in sorted(names)] + [batch(f"b{i}", names) for i in range(1000)]
    waiting = Waiting(stages)
    due = [stage for name in sorted(names) for stage in waiting.good(name)]
    assert due == [f"b{i}" for i in range(1000)]
    assert sum(len(groups) for groups in waiting._groups_of.values()) <= 1000


def test_order_survives_stages_listed_the_wrong_way_round() -> None:
    stages = [batch("c", "b"), batch("b", "a"), batch("a")]
    assert [stage.name for stage in in_order(stages)] == ["a", "b", "c"]


def test_what_is_between_two_stages_can_be_dropped_and_their_order_stays() -> None:
    stages = [batch("a"), batch("b", "a"), batch("c", "b"), batch("d", ["c", "a"])]
    kept = narrowed(stages, {"a", "d"})
    assert [(stage.name, stage.after) for stage in kept] == [("a", frozenset()), ("d", frozenset("a"))]


def test_the_nearest_batch_stage_upstream_is_named() -> None:
    stages = [
        batch("prepare"),
        batch("train", ["prepare"]),
        service("api", ["train"]),
        service("ui", ["api"]),
    ]
    upstream = nearest_upstream(stages, {"prepare", "train"})
    assert upstream == {"train": "prepare", "api": "train", "ui": "train"}
    assert nearest_upstream(stages, {"prepare"})["ui"] == "prepare"
