"""The API server is away, overloaded or forgetful: the run goes on, and the user is told once."""

from __future__ import annotations

import json
import random
import time

import pytest

from between import Between, status
from ground import Ground
from loopback import Asked, Reply
from pod_watch import PodWatch
from slow_chain import LINES, SLOW, WORKFLOW, printed

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def through(ground: Ground, between: Between) -> Between:
    """The tool reaches the cluster through `between` alone."""
    ground.tool.extra["KUBECONFIG"] = str(between.kubeconfig)
    ground.commit(WORKFLOW, {"slow.py": SLOW})
    return between


@pytest.mark.parametrize("seconds", [3, 25])
def test_away_in_the_middle(ground: Ground, through: Between, seconds: int) -> None:
    with PodWatch(ground) as pods:
        running = ground.start()
        running.says("a | line 2")
        through.away()
        time.sleep(seconds)
        through.back()
        text = running.good()
        pods.check(a=1, b=1, c=1)
    assert [printed(text, stage) for stage in "abc"] == [LINES] * 3
    told = [line for line in text.splitlines() if "waiting for it, what runs in the cluster goes on" in line]
    assert len(told) <= 1 and (seconds < 10 or len(told) == 1), text
    assert text.count("answers again, after") == len(told)


def test_away_again_and_again(ground: Ground, through: Between) -> None:
    with PodWatch(ground) as pods:
        running = ground.start()
        running.says("a | line 0")
        while running.child.poll() is None:
            through.away()
            time.sleep(0.3)
            through.back()
            time.sleep(2)
        text = running.good()
        pods.check(a=1, b=1, c=1)
    assert [printed(text, stage) for stage in "abc"] == [LINES] * 3


def test_a_watch_that_has_expired(ground: Ground, through: Between) -> None:
    expired = {"type": "ERROR", "object": json.loads(json.dumps(status(410, "Expired").body))}
    with PodWatch(ground) as pods:
        running = ground.start()
        for sign in ("a | line 2", "b | line 0", "c | line 3"):
            running.says(sign)
            assert through.into_streams(expired) >= 1
        text = running.good()
        pods.check(a=1, b=1, c=1)
    assert [printed(text, stage) for stage in "abc"] == [LINES] * 3


def test_a_watch_that_is_refused_with_410(ground: Ground, through: Between) -> None:
    refused: list[str] = []

    def fault(asked: Asked) -> Reply | None:
        if "watch" in asked.params and len(refused) < 3:
            refused.append(asked.target)
            return status(410, "Expired")
        return None

    through.fault = fault
    with PodWatch(ground) as pods:
        text = ground.start().good()
        pods.check(a=1, b=1, c=1)
    assert len(refused) == 3 and [printed(text, stage) for stage in "abc"] == [LINES] * 3


@pytest.mark.parametrize("lost", [False, True], ids=["not done", "done, but the answer was lost"])
def test_an_overloaded_server(ground: Ground, through: Between, lost: bool) -> None:
    """A third of all requests fails: with 429, with 503, or without an answer."""
    dice, failed = random.Random(7), []

    def fault(asked: Asked) -> Reply | None:
        if dice.random() > 0.3:
            return None
        failed.append(asked.target)
        if dice.random() < 0.5:
            return status(429, "TooManyRequests", **{"Retry-After": "1"})
        return status(503, "ServiceUnavailable")

    def heard(asked: Asked, code: int) -> None:
        if dice.random() < 0.3:
            failed.append(asked.target)
            raise ConnectionError("the answer is lost")

    if lost:
        through.heard = heard
    else:
        through.fault = fault
    with PodWatch(ground) as pods:
        running = ground.start()
        text = running.good()
        pods.check(a=1, b=1, c=1)
    assert len(failed) > 10
    assert [printed(text, stage) for stage in "abc"] == [LINES] * 3
