"""Runs that are left to the cluster: what begins them, and what carries them out, is killed at every change.

The controller is here a process of the test, started again and again as its Job does: no pod can be killed
just at a change. Real pods of controllers are killed in test_crashes_detached.
"""

from __future__ import annotations

import pytest

from between import Between
from bodywork.targets.kubernetes.kinds import JOB
from crash_courses import FAILING, GOOD, MODULES, Course, check, when_stages_have_ended
from crash_points import Killer, When
from ground import Ground, Running
from pod_watch import PodWatch
from tool import Tool, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

OF_DEPLOY = (
    "create namespaces PIPELINE",
    "take the lease",
    "create configmaps run-RUN",
    "create secrets source",
    "apply serviceaccounts bodywork-controller",
    "apply roles bodywork-controller",
    "apply rolebindings bodywork-controller",
    "apply jobs controller-RUN",
    "give the lease back",
)
"""What `deploy --detach` changes: the controller does all the rest."""

OF_CONTROLLER = ("take the lease over", "record RunStarted", "give the lease back")
LEFT = (
    "Job controller-RUN",
    "ServiceAccount bodywork-controller",
    "Role bodywork-controller",
    "RoleBinding bodywork-controller",
)


def test_a_run_is_left_to_the_cluster_wholly_or_not_at_all(ground: Ground, between: Between) -> None:
    """Each kill comes before a change, which is also after the one before; then it is deployed again."""
    ground.commit(FAILING.workflow, MODULES)
    ground.tool.extra["KUBECONFIG"] = str(between.kubeconfig)
    killer = Killer(ground, between, "before", OF_DEPLOY)
    with PodWatch(ground) as pods:
        while killer.kills(ground.start("--detach")) and "apply jobs controller-RUN" not in killer.made:
            pass
        print("killed", *killer.killed, sep="\n")
        assert not killer.left
        assert set(killer.made) == {*OF_DEPLOY, "take the lease over"} - {"give the lease back"}
        direct = ground.another_tool("another", cache=ground.folder / "another-cache")
        wait_for(lambda: ended(direct, ground) == "failed", seconds=180, every=1)
        pods.check(**FAILING.successes)
    states = [one["state"] for one in direct.good("runs", ground.name, "-o", "json").json]
    assert states == ["failed", *["interrupted"] * (len(states) - 1)]


@pytest.mark.parametrize(
    ("course", "when"), [(GOOD, "after"), (FAILING, "before")], ids=["succeeded", "failed"]
)
def test_a_controller_killed_at_each_change_goes_on_as_if_nothing_had_happened(
    ground: Ground, between: Between, course: Course, when: When
) -> None:
    ground.commit(course.workflow, MODULES)
    other = ground.another_tool(
        "another", cache=ground.folder / "another-cache", kubeconfig=between.kubeconfig
    )
    with PodWatch(ground) as pods:
        ground.tool.extra["BODYWORK_IMAGE"] = "localhost/bodywork:not-there-python{python}"
        assert ground.deploy("--detach").code == 0  # its own controller never starts
        points = {*course.changes, *OF_CONTROLLER} - set(OF_DEPLOY) | {"give the lease back"}
        killer, run = Killer(ground, between, when, points), ground.newest_run()
        command = ("controller", "--pipeline", ground.name, "--run", run, "--namespace", ground.name)
        while killer.kills(Running(other, *command)):
            if when == "after":
                when_stages_have_ended(ground)
        print("killed", *killer.killed, sep="\n")
        assert killer.code == 0, killer.text
        left = killer.left - {"give the lease back"}  # the run may have ended before that
        assert not left, "these changes were not made"
        check(ground, other, pods, course, *LEFT)


def test_a_controller_that_comes_while_the_run_is_carried_out_leaves_its_end_as_it_is(ground: Ground) -> None:
    """As one whose node is lost may be alive all the same."""
    modules = {
        **MODULES,
        "bad.py": "import sys, time; print('begun', flush=True); time.sleep(8); sys.exit(1)\n",
    }
    ground.commit(FAILING.workflow, modules)
    with PodWatch(ground) as pods:
        first = ground.start()
        first.says("bad | begun", seconds=90)
        command = ("--pipeline", ground.name, "--run", ground.newest_run(), "--namespace", ground.name)
        second = Running(ground.another_tool("another"), "controller", *command)
        assert first.end() == 1
        assert "has ended: failed" in second.good(60)
        pods.check(**FAILING.successes)
    assert len(pods.pods) == 3


def ended(tool: Tool, ground: Ground) -> str | None:
    """How the newest run ended; its controller's Job has to be there."""
    state: str = tool.good("status", ground.name, "-o", "json").json["state"]
    return state if state != "running" and ground.all(JOB) else None
