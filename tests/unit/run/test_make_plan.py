from dataclasses import replace

import pytest

from bodywork.errors import NotFoundError, UsageError
from bodywork.run.plan import Action, Plan, make_plan, rollback_plan
from workflows import SOURCE, batch, plan, project, running, service

SERVE = service("serve")
KEPT = "same files, packages, settings and inputs"


def decision(planned: Plan, name: str = "serve") -> tuple[Action, str]:
    return planned.stage(name).action, planned.stage(name).reason


def again(planned: Plan, **changed: object) -> Plan:
    """The plan for the same stages where the services of `planned` already run."""
    inputs = changed.pop("inputs", {})
    observed = {"serve": running(planned, "serve", inputs=inputs)}
    stages = [item.stage for item in planned.stages]
    return plan(*stages, observed=observed, **changed)


def test_a_service_that_is_not_there_is_added() -> None:
    assert decision(plan(SERVE)) == (Action.ADD, "not deployed yet")


def test_an_unchanged_service_is_left_alone_with_a_reason() -> None:
    assert decision(again(plan(SERVE))) == (Action.KEEP, KEPT)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"source": replace(SOURCE, files="files-2")}, "the commit's files changed"),
        ({"environments": {"serve": "lock-2"}}, "its packages changed"),
        ({"project": project(replace(SERVE, args=("--fast",)))}, "its settings changed"),
        ({"project": project(replace(SERVE, env={"A": "1"}))}, "its settings changed"),
        ({"project": project(replace(SERVE, python="3.11"))}, "its packages changed"),
        (
            {"source": replace(SOURCE, files="files-2"), "environments": {"serve": "lock-2"}},
            "the commit's files and its packages changed",
        ),
    ],
)
def test_a_changed_service_is_replaced_and_the_plan_says_what_changed(
    changed: dict[str, object], reason: str
) -> None:
    assert decision(again(plan(SERVE), **changed)) == (Action.REPLACE, reason)


def test_where_the_target_knows_no_parts_the_reason_is_still_a_sentence() -> None:
    observed = {"serve": running(plan(SERVE), "serve", fingerprint="other", parts={})}
    assert decision(plan(SERVE, observed=observed))[1] == "its files, packages or settings changed"


def test_a_new_commit_with_the_same_files_changes_nothing() -> None:
    source = replace(SOURCE, commit="1" * 40, ref="v2")
    assert decision(again(plan(SERVE), source=source)) == (Action.KEEP, KEPT)


def test_a_service_downstream_of_a_batch_stage_is_rolled_out_anew() -> None:
    stages = [batch("train"), service("api", ["train"]), service("serve", ["api"])]
    assert decision(again(plan(*stages))) == (Action.REPLACE, "after batch stage train has run")


def test_a_service_that_reads_what_this_run_makes_is_decided_later() -> None:
    stages = [batch("choose", outputs="model"), service("serve", ["choose"], inputs="choose.model")]
    planned = again(plan(*stages), inputs={"model": "old"})
    assert decision(planned) == (Action.DECIDE, "replaced if choose.model changes")


def test_changed_packages_count_before_inputs_that_are_not_known_yet() -> None:
    stages = [batch("choose", outputs="model"), service("serve", ["choose"], inputs="choose.model")]
    planned = again(plan(*stages), inputs={"model": "old"}, environments={"choose": "1", "serve": "2"})
    assert decision(planned) == (Action.REPLACE, "its packages changed")


def test_a_service_that_the_workflow_no_longer_names_is_removed_at_the_end() -> None:
    old = plan(service("old"))
    planned = plan(SERVE, observed={"old": running(old, "old")})
    assert [(r.service, r.reason) for r in planned.removals] == [("old", "the workflow no longer names it")]


def test_the_stage_for_failures_is_planned_but_not_one_of_the_workflow() -> None:
    planned = plan(batch("train"), on_failure=batch("tell"))
    assert [item.stage.name for item in planned.stages] == ["train"]
    assert decision(planned, "tell") == (Action.RUN, "runs if the run fails")


class TestOnly:
    STAGES = (
        batch("prepare", outputs="table"),
        batch("train", ["prepare"], inputs="prepare.table", outputs="model"),
        service("serve", ["train"], inputs="train.model"),
    )

    def test_just_these_stages_in_their_order(self) -> None:
        known = {("prepare", "table"): "digest"}
        planned = plan(*self.STAGES, only=frozenset({"serve", "train"}), known=known)
        assert [item.stage.name for item in planned.stages] == ["train", "serve"]
        assert planned.stage("train").stage.after == frozenset()
        assert planned.stage("train").inputs == {"table": "digest"}
        assert planned.stage("serve").stage.after == {"train"}

    def test_inputs_of_earlier_runs_decide_about_a_service_at_once(self) -> None:
        first = plan(*self.STAGES)
        observed = {"serve": running(first, "serve", inputs={"model": "m1"})}
        only = frozenset({"serve"})
        same = plan(*self.STAGES, only=only, known={("train", "model"): "m1"}, observed=observed)
        new = plan(*self.STAGES, only=only, known={("train", "model"): "m2"}, observed=observed)
        assert decision(same) == (Action.KEEP, KEPT)
        assert decision(new) == (Action.REPLACE, "train.model changed")

    def test_an_input_that_nobody_made_is_refused_with_the_next_step(self) -> None:
        with pytest.raises(UsageError, match=r"train reads prepare\.table, which no run has made") as error:
            plan(*self.STAGES, only=frozenset({"train"}))
        assert error.value.hint == "run prepare first, or together with train"

    def test_an_unknown_stage_is_refused_with_the_nearest_name(self) -> None:
        with pytest.raises(NotFoundError, match=r"no stage trian \(did you mean train\?\)"):
            plan(*self.STAGES, only=frozenset({"trian"}))

    def test_nothing_is_removed(self) -> None:
        observed = {"old": running(plan(service("old")), "old")}
        assert plan(batch("a"), only=frozenset("a"), observed=observed).removals == ()

    def test_a_batch_stage_that_is_not_selected_does_not_renew_services(self) -> None:
        stages = [batch("train"), service("serve", ["train"])]
        assert decision(again(plan(*stages), only=frozenset({"serve"}))) == (Action.KEEP, KEPT)


class TestRollback:
    STAGES = (
        service("api"),
        batch("train", ["api"], outputs="model"),
        service("serve", ["train"], inputs="train.model"),
    )

    def back(self, **observed: object) -> Plan:
        return rollback_plan(
            run="run-9",
            target="fake",
            release=plan(*self.STAGES),
            inputs={"api": {}, "serve": {"model": "m1"}},
            observed=observed,  # type: ignore[arg-type]
        )

    def test_only_services_and_with_the_inputs_they_had(self) -> None:
        planned = self.back()
        assert [item.stage.name for item in planned.stages] == ["api", "serve"]
        assert planned.stage("serve").inputs == {"model": "m1"}
        assert planned.stage("serve").stage.after == {"api"}
        assert planned.run == "run-9"
        assert planned.on_failure is None

    def test_what_is_as_it_was_is_kept_and_the_rest_replaced(self) -> None:
        first = plan(*self.STAGES)
        planned = self.back(
            api=running(first, "api"),
            serve=running(first, "serve", inputs={"model": "m2"}),
            extra=running(plan(service("extra")), "extra"),
        )
        assert decision(planned, "api") == (Action.KEEP, KEPT)
        assert decision(planned, "serve") == (Action.REPLACE, "train.model changed")
        assert [(r.service, r.reason) for r in planned.removals] == [("extra", "run run-1 did not have it")]

    def test_a_release_without_record_of_its_inputs_is_refused(self) -> None:
        with pytest.raises(UsageError, match="run run-1 left no record of what service serve read as model"):
            rollback_plan(run="r", target="fake", release=plan(*self.STAGES), inputs={}, observed={})


def test_the_fingerprint_is_stable() -> None:
    """A new release of bodywork must not replace everybody's services: change this with care."""
    item = make_plan(
        run="r",
        target="t",
        project=project(SERVE),
        source=SOURCE,
        environments={"serve": "lock"},
        observed={},
    ).stage("serve")
    assert item.fingerprint == FINGERPRINT


FINGERPRINT = "b4e9afa2145b55ce2df4beff854a417048f8383603b1df9d0f2313b439bd325f"
