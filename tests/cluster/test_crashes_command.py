"""The command is killed at every change that it makes in the cluster, before and after it, and the run
resumed: it ends as if nothing had happened.

The changes have names (`crash_points`), and one test holds that there are no others than those that are known
(`crash_courses`). One run is killed and resumed at many of them, one after the other: a command for each,
and one that ends it.
"""

from __future__ import annotations

import shutil

import pytest

from between import Between
from bodywork.targets.kubernetes.kinds import DEPLOYMENT, POD, SERVICE
from crash_courses import (
    FAILING,
    GOOD,
    MODULES,
    NOTED_TOGETHER,
    OF_RESUME,
    Course,
    check,
    when_stages_have_ended,
)
from crash_points import Killer, When
from ground import Ground, Running
from pod_watch import PodWatch
from tool import Tool

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

BACK = "give the lease back"
GOOD_CHANGES = [change for change in GOOD.changes if change != BACK]
FAILING_CHANGES = [change for change in FAILING.changes if change != BACK]
PARTS = {
    "succeeded, 1 of 2": (GOOD, (*GOOD_CHANGES[::2], *OF_RESUME)),
    "succeeded, 2 of 2": (GOOD, tuple(GOOD_CHANGES[1::2])),
    "failed, 1 of 2": (FAILING, tuple(FAILING_CHANGES[::2])),
    "failed, 2 of 2": (FAILING, tuple(FAILING_CHANGES[1::2])),
    "at the end": (FAILING, (BACK,)),
}
"""The points of each test: neighbours are in different ones, so that a run goes on for a while after each.
After its end is recorded nobody gives the lease back for a command that was killed: so that is one by itself.
"""


def test_there_are_no_other_changes(ground: Ground, between: Between) -> None:
    """So that whoever adds one has it tried, too."""
    killer = begun(ground, between, GOOD, "after", ())
    with PodWatch(ground) as pods:
        assert not killer.kills(ground.start())
        check(ground, ground.tool, pods, GOOD)
    assert set(killer.made) - NOTED_TOGETHER == set(GOOD.changes)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("part", PARTS)
def test_a_run_killed_at_each_change_ends_as_if_nothing_had_happened(
    ground: Ground, between: Between, part: str, when: When
) -> None:
    course, points = PARTS[part]
    killer = begun(ground, between, course, when, points)
    other = ground.another_tool(
        "another", cache=ground.folder / "another-cache", kubeconfig=between.kubeconfig
    )
    with PodWatch(ground) as pods:
        command: Running | None = ground.start()
        while command is not None and killer.kills(command):
            if when == "after":  # as whoever is slower than what is under way
                when_stages_have_ended(ground)
            command = going_on(ground, killer, other)
        print("killed", *killer.killed, sep="\n")  # shown with whatever goes wrong
        if command is not None:
            assert killer.code == (course.state == "failed"), killer.text
        assert not killer.left, "these changes were not made"
        check(ground, other, pods, course)


def begun(ground: Ground, between: Between, course: Course, when: When, points: tuple[str, ...]) -> Killer:
    """The project, and the commands of its own machine led through the server between."""
    ground.commit(course.workflow, MODULES)
    ground.tool.extra["KUBECONFIG"] = str(between.kubeconfig)
    return Killer(ground, between, when, points)


def going_on(ground: Ground, killer: Killer, other: Tool) -> Running | None:
    """What a user does after a kill; None: the run had ended.

    Once the files are in the cluster, that is done by another machine, which has never seen the repository.
    """
    if not ground.newest_run():
        return ground.start()
    if any(change.startswith("record RunEnded") for change in killer.made):
        return None
    moved = "create secrets source" in killer.made
    if moved and ground.repository.path.exists():
        shutil.rmtree(ground.repository.path)
    return Running(other if moved else ground.tool, "resume", ground.name)


def test_before_the_files_are_in_the_cluster_only_the_machine_that_has_them_goes_on(
    ground: Ground, between: Between
) -> None:
    killer = begun(ground, between, FAILING, "after", ("create configmaps run-RUN",))
    assert killer.kills(ground.start())
    shutil.rmtree(ground.repository.path)
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    assert other("resume", ground.name).code == 2
    assert other.good("status", ground.name, "-o", "json").json["state"] == "interrupted"
    assert not killer.kills(Running(ground.tool, "resume", ground.name)) and killer.code == 1, killer.text
    assert other.good("status", ground.name, "-o", "json").json["state"] == "failed"


def test_an_interrupted_run_that_is_stopped_leaves_nothing_that_runs(ground: Ground) -> None:
    ground.commit(
        "workflow: work, serve\nstages:\n  work: {run: work.py}\n"
        "  serve: {run: work.py, service: {port: 5000}}\n",
        {"work.py": "import time; print('begun', flush=True); time.sleep(600)\n"},
    )
    running = ground.start()
    running.says("work | begun", seconds=120)
    running.says("serve | begun", seconds=120)
    running.kill()
    other = ground.another_tool("another", cache=ground.folder / "another-cache")
    assert "is cancelled" in other.good("stop", ground.name).out
    assert not ground.all(DEPLOYMENT) and not ground.all(SERVICE)
    assert not [pod for pod in ground.all(POD) if pod["status"]["phase"] in ("Pending", "Running")]
    assert other.good("status", ground.name, "-o", "json").json["state"] == "cancelled"
